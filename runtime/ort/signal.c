//go:build cgo

#include "engine.h"

#include <signal.h>

// The signals that the Go runtime handles and that CUDA's libraries have been
// seen to take over. SIGURG matters most: Go preempts goroutines with it.
static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGSEGV, SIGBUS, SIGFPE, SIGPIPE, SIGURG, SIGPROF};
#define WATCHED (sizeof watched / sizeof *watched)
static struct sigaction saved[WATCHED];

void gw_signals_save(void) {
  for (size_t i = 0; i < WATCHED; i++)
    sigaction(watched[i], NULL, &saved[i]);
}

int gw_signals_restore(void) {
  int restored = 0;
  for (size_t i = 0; i < WATCHED; i++) {
    struct sigaction now;
    sigaction(watched[i], NULL, &now);
    int handled = (now.sa_flags & SA_SIGINFO) || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN);
    if (handled && !(now.sa_flags & SA_ONSTACK)) {
      sigaction(watched[i], &saved[i], NULL);
      restored++;
    }
  }
  return restored;
}
