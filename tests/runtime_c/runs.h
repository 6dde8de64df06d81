#ifndef WSHARE_TESTS_RUNTIME_C_RUNS_H_
#define WSHARE_TESTS_RUNTIME_C_RUNS_H_

/* Three ways to run a task. */

#include "runtime_c/ort.h"

/* What a run of `task` through wshare gives. */
static inline OrtValue* run_task(wshare_session* session, const char* task) {
  struct inputs inputs;
  char* name = output_name(wshare_session_ort(session));
  OrtValue* output = NULL;
  make_inputs(wshare_session_ort(session), &inputs);
  OK(wshare_session_run(session, task, inputs.names, (const OrtValue* const*)inputs.values,
                        inputs.count, (const char* const*)&name, 1, &output));
  free_inputs(&inputs);
  ORT(AllocatorFree(heap(), name));
  return output;
}

/* The same through run options, which outlive the session here; `*kept` is to be released after it.
 */
static inline OrtValue* run_with_options(wshare_session* session, const char* task,
                                         OrtRunOptions** kept) {
  OK(wshare_session_run_options(session, task, kept));
  return run_by_hand(wshare_session_ort(session), *kept);
}

/* The same through a binding. */
static inline OrtValue* run_bound(wshare_session* session, const char* task) {
  struct inputs inputs;
  OrtIoBinding* binding = NULL;
  OrtMemoryInfo* memory = NULL;
  OrtValue** outputs = NULL;
  size_t count = 0;
  char* name = output_name(wshare_session_ort(session));
  make_inputs(wshare_session_ort(session), &inputs);
  ORT(CreateIoBinding(wshare_session_ort(session), &binding));
  for (size_t i = 0; i < inputs.count; ++i)
    ORT(BindInput(binding, inputs.names[i], inputs.values[i]));
  ORT(CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  ORT(BindOutputToDevice(binding, name, memory));
  OK(wshare_session_bind(session, binding, task));
  ORT(RunWithBinding(wshare_session_ort(session), NULL, binding));
  ORT(GetBoundOutputValues(binding, heap(), &outputs, &count));
  CHECK(count == 1);
  OrtValue* output = outputs[0];
  ORT(AllocatorFree(heap(), outputs));
  ort->ReleaseMemoryInfo(memory);
  ort->ReleaseIoBinding(binding);
  free_inputs(&inputs);
  ORT(AllocatorFree(heap(), name));
  return output;
}

#endif /* WSHARE_TESTS_RUNTIME_C_RUNS_H_ */
