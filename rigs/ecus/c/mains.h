/* What runs the core, until the pipe closes or the core asks for a reset: the exit code. */
#ifndef MAINS_H
#define MAINS_H
int stepper(void);
int socketcan(void);
int hub(void);
#endif
