/* N sessions over one copy of the weights, from C: pool_c BUNDLE MODEL N. */
#include <inttypes.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <wshare/runtime_c.h>

static void check(wshare_error* error) {
  if (error == NULL) return;
  fprintf(stderr, "%s\nhint: %s\n", wshare_error_message(error), wshare_error_hint(error));
  exit(wshare_error_code(error));
}

int main(int argc, char** argv) {
  if (argc != 4) return fprintf(stderr, "usage: pool_c BUNDLE MODEL N\n"), 2;
  const size_t count = strtoul(argv[3], NULL, 10);
  wshare_session** pool = calloc(count, sizeof *pool);
  wshare_memory memory = {.struct_size = sizeof memory};
  wshare_bundle* bundle;
  if (pool == NULL || count == 0) return 1;
  check(wshare_bundle_open(argv[1], &bundle));
  for (size_t i = 0; i < count; ++i) check(wshare_session_open(bundle, argv[2], NULL, &pool[i]));
  check(wshare_bundle_memory(bundle, argv[2], &memory));
  wshare_bundle_close(bundle); /* the sessions keep what they need */

  /* Each is an OrtSession for all functions of ONNX Runtime but ReleaseSession(). */
  const OrtApiBase* base;
  size_t inputs = 0;
  check(wshare_onnxruntime(&base));
  const OrtApi* ort = base->GetApi(ORT_API_VERSION);
  if (ort->SessionGetInputCount(wshare_session_ort(pool[0]), &inputs) != NULL) return 1;

  printf("%zu sessions, %" PRIu64 " bytes\n", count, memory.shared_bytes);
  for (size_t i = 0; i < count; ++i) wshare_session_close(pool[i]);
  free(pool);
}
