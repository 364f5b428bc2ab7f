/* Another process traces this one already: refused, with the tracer's name. */
#include "check.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

int main(void) {
    int gate[2], ready[2], status = 0;
    char byte;
    must("pipe", pipe(gate));
    must("pipe", pipe(ready));
    pid_t self = getpid(), tracer = (pid_t)must("fork", fork());
    if (tracer == 0) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 1 || ptrace(PTRACE_SEIZE, self, 0, 0))
            _exit(1);
        if (write(ready[1], "x", 1) != 1)
            _exit(2);
        _exit(read(gate[0], &byte, 1) == 1 ? 0 : 3); /* Ending detaches. */
    }
    must("PR_SET_PTRACER", prctl(PR_SET_PTRACER, tracer) && errno != EINVAL ? -1 : 0); /* EINVAL without Yama. */
    expect("go on", 1, write(gate[1], "x", 1));
    expect("seized", 1, read(ready[0], &byte, 1));
    update_here();
    expect("tracer", tracer, proc_number("/proc/self/status", "TracerPid", 10));
    expect("release", 1, write(gate[1], "x", 1));
    must("waitpid", waitpid(tracer, &status, 0));
    expect("tracer's status", 0, status);
    return finish();
}
