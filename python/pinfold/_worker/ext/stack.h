/* stack.h - the signal by which a worker is asked for the program's stack. */
#ifndef PINFOLD_STACK_H
#define PINFOLD_STACK_H

#include <signal.h>

#define STACK_ASK_SIGNAL (SIGRTMAX - 3)

#endif
