#ifndef WSHARE_TESTS_RUNTIME_C_ORT_H_
#define WSHARE_TESTS_RUNTIME_C_ORT_H_

/* What the tests do with ONNX Runtime's C API: runs of zeros, and their outputs as bytes. A call
 * that fails ends the program. */

#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime_c/checks.h"

#define MOST 16 /* inputs of a model */

static const OrtApi* ort;

static inline void check_status(OrtStatus* status, int line) {
  if (status == NULL) return;
  fprintf(stderr, "line %d: ONNX Runtime: %s\n", line, ort->GetErrorMessage(status));
  exit(1);
}
#define ORT(call) check_status(ort->call, __LINE__)

struct inputs {
  size_t count;
  const char* names[MOST];
  OrtValue* values[MOST];
};

static inline OrtAllocator* heap(void) {
  OrtAllocator* allocator = NULL;
  ORT(GetAllocatorWithDefaultOptions(&allocator));
  return allocator;
}

/* Every input of the session, filled with zeros; a free dimension is 1. */
static inline void make_inputs(OrtSession* session, struct inputs* inputs) {
  ORT(SessionGetInputCount(session, &inputs->count));
  CHECK(inputs->count <= MOST);
  for (size_t i = 0; i < inputs->count; ++i) {
    char* name = NULL;
    OrtTypeInfo* type = NULL;
    const OrtTensorTypeAndShapeInfo* tensor = NULL;
    enum ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    int64_t dims[8];
    size_t rank = 0, bytes = 0;
    void* data = NULL;
    ORT(SessionGetInputName(session, i, heap(), &name));
    ORT(SessionGetInputTypeInfo(session, i, &type));
    ORT(CastTypeInfoToTensorInfo(type, &tensor));
    ORT(GetTensorElementType(tensor, &element));
    ORT(GetDimensionsCount(tensor, &rank));
    CHECK(rank <= 8);
    ORT(GetDimensions(tensor, dims, rank));
    for (size_t k = 0; k < rank; ++k) dims[k] = dims[k] < 0 ? 1 : dims[k];
    ort->ReleaseTypeInfo(type);
    ORT(CreateTensorAsOrtValue(heap(), dims, rank, element, &inputs->values[i]));
    ORT(GetTensorSizeInBytes(inputs->values[i], &bytes));
    ORT(GetTensorMutableData(inputs->values[i], &data));
    memset(data, 0, bytes);
    inputs->names[i] = name;
  }
}

static inline void free_inputs(struct inputs* inputs) {
  for (size_t i = 0; i < inputs->count; ++i) {
    ORT(AllocatorFree(heap(), (void*)(size_t)inputs->names[i]));
    ort->ReleaseValue(inputs->values[i]);
  }
}

static inline char* output_name(OrtSession* session) {
  char* name = NULL;
  ORT(SessionGetOutputName(session, 0, heap(), &name));
  return name;
}

/* Runs the session by hand; `options` may be NULL. */
static inline OrtValue* run_by_hand(OrtSession* session, const OrtRunOptions* options) {
  struct inputs inputs;
  char* name = output_name(session);
  OrtValue* output = NULL;
  make_inputs(session, &inputs);
  ORT(Run(session, options, inputs.names, (const OrtValue* const*)inputs.values, inputs.count,
          (const char* const*)&name, 1, &output));
  free_inputs(&inputs);
  ORT(AllocatorFree(heap(), name));
  return output;
}

/* Whether two values have the same bytes; both are released. */
static inline int take_equal(OrtValue* a, OrtValue* b) {
  size_t bytes_a = 0, bytes_b = 0;
  void *data_a = NULL, *data_b = NULL;
  ORT(GetTensorSizeInBytes(a, &bytes_a));
  ORT(GetTensorSizeInBytes(b, &bytes_b));
  ORT(GetTensorMutableData(a, &data_a));
  ORT(GetTensorMutableData(b, &data_b));
  const int equal = bytes_a > 0 && bytes_a == bytes_b && memcmp(data_a, data_b, bytes_a) == 0;
  ort->ReleaseValue(a);
  ort->ReleaseValue(b);
  return equal;
}

/* What a session made with ONNX Runtime alone gives for the model at `path`. */
static inline OrtValue* run_plain(const char* path) {
  OrtEnv* env = NULL;
  OrtSessionOptions* options = NULL;
  OrtSession* session = NULL;
  ORT(CreateEnv(ORT_LOGGING_LEVEL_ERROR, "plain", &env));
  ORT(CreateSessionOptions(&options));
  ORT(CreateSession(env, path, options, &session));
  OrtValue* output = run_by_hand(session, NULL);
  ort->ReleaseSession(session);
  ort->ReleaseSessionOptions(options);
  ort->ReleaseEnv(env);
  return output;
}

#endif /* WSHARE_TESTS_RUNTIME_C_ORT_H_ */
