import os
import threading
import time


def write():
    while True:
        os.write(1, b"the 2\nand 1\ncat 1\nhat 1\n")
        time.sleep(0.01)


threading.Thread(target=write, daemon=True).start()
time.sleep(0.05)
