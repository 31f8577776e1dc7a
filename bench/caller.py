# SPDX-License-Identifier: Apache-2.0
"""The process of one measurement: `python -m bench.caller SCENARIO SYSTEM ROUND`.

It measures one scenario with one system, so that no system disturbs another, and memory is that of
one system. It writes figures to descriptor 3 as they are measured, a line of JSON each, so that the
figures before a hang count. An empty object ends them. The cold start is measured from here, so
this imports as little as possible before the scenario does.
"""

import sys
import time

began = time.perf_counter()


def main() -> None:
    scenario_name, system, round_number = sys.argv[1:]
    from bench.scenarios import module_of

    scenario = __import__(module_of(scenario_name), fromlist=["measure"])
    from bench.systems.base import CannotDo

    try:
        for figures in scenario.measure(system, int(round_number)):
            tell(figures)
    except CannotDo as reason:
        tell({"cannot": str(reason)})
    except ModuleNotFoundError as error:
        tell({"cannot": f"not installed: {error.name}"})
    tell({})


def tell(figures: dict[str, object]) -> None:
    import json
    import os

    os.write(3, (json.dumps(figures) + "\n").encode())


if __name__ == "__main__":
    main()
