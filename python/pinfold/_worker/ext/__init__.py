"""The C extension of a template and its workers: forking, sockets, printed output, stacks."""
