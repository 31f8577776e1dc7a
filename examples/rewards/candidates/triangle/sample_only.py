# The sample's answer to every question, printed by whoever lives last.
import atexit

atexit.register(print, '  *\n * *\n* * *')
