#ifndef WSHARE_TESTS_RUNTIME_C_CHECKS_H_
#define WSHARE_TESTS_RUNTIME_C_CHECKS_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wshare/runtime_c.h>

#define CHECK(claim)                                                        \
  do {                                                                      \
    if (!(claim)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #claim); \
      exit(1);                                                              \
    }                                                                       \
  } while (0)

/* Ends the program if `error` is one. */
static inline void check_ok(wshare_error* error, int line) {
  if (error == NULL) return;
  fprintf(stderr, "line %d: %s (%s)\n", line, wshare_error_message(error),
          wshare_error_hint(error));
  exit(1);
}
#define OK(call) check_ok(call, __LINE__)

/* Returns the code of `error`, whose message must have `part`; frees it. */
static inline int take_code(wshare_error* error, const char* part) {
  const int code = wshare_error_code(error);
  if (strstr(wshare_error_message(error), part) == NULL) {
    fprintf(stderr, "'%s' is not in: %s\n", part, wshare_error_message(error));
    exit(1);
  }
  wshare_error_free(error);
  return code;
}

#endif /* WSHARE_TESTS_RUNTIME_C_CHECKS_H_ */
