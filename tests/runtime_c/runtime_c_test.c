/* The C API as a C program meets it: runtime_c_test CLAIM ARGUMENT... (tests/CMakeLists.txt has
 * them). Ends with 0 if the claim is true; else says where not. */

#include <pthread.h>
#include <wshare/runtime_c.h>

#include "runtime_c/ort.h"

/* Ends the program if `error` is one. */
static void check_ok(wshare_error* error, int line) {
  if (error == NULL) return;
  fprintf(stderr, "line %d: %s (%s)\n", line, wshare_error_message(error),
          wshare_error_hint(error));
  exit(1);
}
#define OK(call) check_ok(call, __LINE__)

/* Returns the code of `error`, whose message must have `part`; frees it. */
static int take_code(wshare_error* error, const char* part) {
  const int code = wshare_error_code(error);
  if (strstr(wshare_error_message(error), part) == NULL) {
    fprintf(stderr, "'%s' is not in: %s\n", part, wshare_error_message(error));
    exit(1);
  }
  wshare_error_free(error);
  return code;
}

static void load_ort(void) {
  const OrtApiBase* base = NULL;
  OK(wshare_onnxruntime(&base));
  CHECK(base == OrtGetApiBase()); /* the one that this program is linked with, not a second one */
  ort = base->GetApi(ORT_API_VERSION);
}

static wshare_session* open_session(wshare_bundle* bundle, const char* model) {
  wshare_session* session = NULL;
  OK(wshare_session_open(bundle, model, NULL, &session));
  return session;
}

/* BUNDLE MODEL ORIGINAL: sessions outlive their bundle, values their session; the bits are those of
 * a plain session. */
static void sessions_share_and_outlive_their_bundle(char** arguments) {
  wshare_bundle* bundle = NULL;
  wshare_names* models = NULL;
  wshare_memory memory = {.struct_size = sizeof memory};
  OK(wshare_bundle_open(arguments[0], &bundle));
  OK(wshare_bundle_models(bundle, &models));
  CHECK(wshare_names_count(models) > 0);
  CHECK(wshare_names_get(models, wshare_names_count(models)) == NULL);
  CHECK(take_code(wshare_bundle_memory(bundle, arguments[1], &memory), "no session") ==
        WSHARE_INVALID);
  wshare_session* first = open_session(bundle, arguments[1]);
  wshare_session* second = open_session(bundle, arguments[1]);
  OK(wshare_bundle_memory(bundle, arguments[1], &memory));
  CHECK(memory.shared_bytes > 0 && memory.shared_tensors > 0 && memory.packed_shared == 1);
  wshare_memory old = {.struct_size = 16,
                       .left_bytes = 99}; /* of a program that knows two fields */
  OK(wshare_bundle_memory(bundle, arguments[1], &old));
  CHECK(old.shared_bytes == memory.shared_bytes && old.left_bytes == 99);
  wshare_bundle_close(bundle);
  wshare_names_free(models);
  wshare_session_close(first);
  OrtValue* output = run_by_hand(wshare_session_ort(second), NULL);
  wshare_session_close(second);
  CHECK(take_equal(output, run_plain(arguments[2])));
}

/* What a run of `task` through wshare gives. */
static OrtValue* run_task(wshare_session* session, const char* task) {
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
static OrtValue* run_with_options(wshare_session* session, const char* task, OrtRunOptions** kept) {
  OK(wshare_session_run_options(session, task, kept));
  return run_by_hand(wshare_session_ort(session), *kept);
}

/* The same through a binding. */
static OrtValue* run_bound(wshare_session* session, const char* task) {
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

/* BUNDLE BASE ADAPTER: three ways to run a task agree, tasks differ, and an adapter from elsewhere
 * is a task, too. */
static void tasks_change_the_outputs(char** arguments) {
  wshare_bundle* bundle = NULL;
  wshare_names* tasks = NULL;
  OrtRunOptions* options[2] = {NULL, NULL};
  OK(wshare_bundle_open(arguments[0], &bundle));
  wshare_session* session = open_session(bundle, arguments[1]);
  wshare_bundle_close(bundle);
  OK(wshare_session_add_adapter(session, "added", arguments[2]));
  OK(wshare_session_tasks(session, &tasks));
  CHECK(wshare_names_count(tasks) == 3);
  CHECK(strcmp(wshare_names_get(tasks, 2), "added") == 0);
  for (size_t i = 0; i < 2; ++i) {
    const char* task = wshare_names_get(tasks, i);
    CHECK(take_equal(run_task(session, task), run_with_options(session, task, &options[i])));
    CHECK(take_equal(run_task(session, task), run_bound(session, task)));
    CHECK(!take_equal(run_task(session, task), run_task(session, NULL)));
  }
  CHECK(!take_equal(run_task(session, wshare_names_get(tasks, 0)),
                    run_task(session, wshare_names_get(tasks, 1))));
  CHECK(take_equal(run_task(session, ""), run_by_hand(wshare_session_ort(session), NULL)));
  CHECK(take_equal(run_task(session, wshare_names_get(tasks, 0)), run_task(session, "added")));
  wshare_session_close(session);
  wshare_names_free(tasks);
  ort->ReleaseRunOptions(options[0]);
  ort->ReleaseRunOptions(options[1]);
}

/* BUNDLE MODEL: each refusal has its code and names its subject; results are cleared. */
static void refusals_have_codes(char** arguments) {
  wshare_bundle* bundle = NULL;
  wshare_session* session = (wshare_session*)arguments; /* to be cleared */
  wshare_options* options = NULL;
  const char* name = "no such input";
  OrtValue* output = (OrtValue*)arguments;
  CHECK(take_code(wshare_bundle_open("no such folder", &bundle), "no such folder") == WSHARE_IO);
  CHECK(take_code(wshare_bundle_open(NULL, &bundle), "'folder' is NULL") == WSHARE_INVALID);
  CHECK(take_code(wshare_bundle_open(arguments[0], NULL), "'bundle' is NULL") == WSHARE_INVALID);
  OK(wshare_bundle_open(arguments[0], &bundle));
  CHECK(take_code(wshare_session_open(bundle, "nobody", NULL, &session), "nobody") ==
        WSHARE_INVALID);
  CHECK(session == NULL);
  CHECK(take_code(wshare_session_open(NULL, "a", NULL, &session), "'bundle'") == WSHARE_INVALID);
  OK(wshare_options_new(&options));
  CHECK(take_code(wshare_options_set_tier(options, 77), "77") == WSHARE_INVALID);
  CHECK(take_code(wshare_options_set_device(options, "None", NULL, 0), "None") == WSHARE_INVALID);
  CHECK(take_code(wshare_options_set_device(options, "None", "/no.so", 0), "no.so") == WSHARE_IO);
  session = open_session(bundle, arguments[1]);
  CHECK(take_code(wshare_session_run(session, "nobody", NULL, NULL, 0, &name, 1, &output),
                  "nobody") == WSHARE_INVALID);
  CHECK(output == NULL);
  CHECK(take_code(wshare_session_run(session, NULL, NULL, NULL, 0, &name, 1, &output), name) ==
        WSHARE_RUNTIME);
  CHECK(take_code(wshare_session_run(session, NULL, NULL, NULL, 1, &name, 1, &output),
                  "'input_names'") == WSHARE_INVALID);
  wshare_memory unset = {0};
  CHECK(take_code(wshare_bundle_memory(bundle, arguments[1], &unset), "struct_size") ==
        WSHARE_INVALID);
  OrtApiBase other = *OrtGetApiBase();
  CHECK(take_code(wshare_use_onnxruntime(&other), "another ONNX Runtime") == WSHARE_INVALID);
  wshare_session_close(session);
  wshare_options_free(options);
  wshare_bundle_close(bundle);
}

static const char* ORT_API_CALL old_version(void) { return "1.9.1"; }

static void an_old_onnxruntime_is_refused(char** arguments) {
  wshare_bundle* bundle = NULL;
  OrtApiBase old = {.GetApi = NULL, .GetVersionString = old_version};
  CHECK(take_code(wshare_use_onnxruntime(&old), "1.9.1") == WSHARE_UNSUPPORTED);
  OK(wshare_use_onnxruntime(OrtGetApiBase())); /* the refused one left no trace */
  OK(wshare_bundle_open(arguments[0], &bundle));
  wshare_bundle_close(bundle);
}

static void null_is_nothing(char** arguments) {
  (void)arguments;
  wshare_error_free(NULL);
  wshare_names_free(NULL);
  wshare_options_free(NULL);
  wshare_session_close(NULL);
  wshare_bundle_close(NULL);
  CHECK(wshare_error_code(NULL) == WSHARE_OK);
  CHECK(strcmp(wshare_error_message(NULL), "") == 0 && strcmp(wshare_error_hint(NULL), "") == 0);
  CHECK(wshare_session_ort(NULL) == NULL);
  CHECK(wshare_names_count(NULL) == 0 && wshare_names_get(NULL, 0) == NULL);
  CHECK(wshare_c_api_version() == WSHARE_C_API_VERSION && strlen(wshare_version()) >= 5);
}

struct turns {
  wshare_bundle* bundle;
  wshare_session* session;
  const char *base, *task;
};

static void* take_turns(void* argument) {
  const struct turns* turns = argument;
  for (int i = 0; i < 4; ++i) {
    wshare_session* own = open_session(turns->bundle, turns->base);
    CHECK(take_equal(run_task(own, turns->task), run_task(turns->session, turns->task)));
    wshare_session_close(own);
  }
  return NULL;
}

/* BUNDLE BASE: sessions are opened, run and closed by four threads that share two handles. */
static void threads_may_share_handles(char** arguments) {
  struct turns turns = {.base = arguments[1]};
  pthread_t threads[4];
  wshare_names* tasks = NULL;
  OK(wshare_bundle_open(arguments[0], &turns.bundle));
  turns.session = open_session(turns.bundle, turns.base);
  OK(wshare_session_tasks(turns.session, &tasks));
  turns.task = wshare_names_get(tasks, 0);
  for (int i = 0; i < 4; ++i) CHECK(pthread_create(&threads[i], NULL, take_turns, &turns) == 0);
  for (int i = 0; i < 4; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  wshare_names_free(tasks);
  wshare_session_close(turns.session);
  wshare_bundle_close(turns.bundle);
}

/* BUNDLE MODEL PROVIDER LIBRARY: a session on a device counts its weights there. */
static void a_device_holds_the_weights_once(char** arguments) {
  wshare_bundle* bundle = NULL;
  wshare_options* options = NULL;
  wshare_session* sessions[2] = {NULL, NULL};
  uint64_t once = 0, twice = 0;
  OK(wshare_options_new(&options));
  OK(wshare_options_set_device(options, arguments[2], arguments[3], 0));
  OK(wshare_options_set_device_copies(options, 1));
  OK(wshare_bundle_open(arguments[0], &bundle));
  OK(wshare_session_open(bundle, arguments[1], options, &sessions[0]));
  wshare_options_free(options);
  OK(wshare_bundle_device_bytes(bundle, &once));
  wshare_session_close(sessions[0]);
  OK(wshare_bundle_device_bytes(bundle, &twice));
  CHECK(once > 0 && twice == 0); /* gone with the last session */
  wshare_bundle_close(bundle);
}

int main(int argc, char** argv) {
  const struct {
    const char* claim;
    void (*check)(char** arguments);
    int arguments;
    int brings_ort; /* it chooses the ONNX Runtime itself, or needs none */
  } claims[] = {
      {"SessionsShareAndOutliveTheirBundle", sessions_share_and_outlive_their_bundle, 3, 0},
      {"TasksChangeTheOutputs", tasks_change_the_outputs, 3, 0},
      {"RefusalsHaveCodes", refusals_have_codes, 2, 0},
      {"AnOldOnnxRuntimeIsRefused", an_old_onnxruntime_is_refused, 1, 1},
      {"NullIsNothing", null_is_nothing, 0, 1},
      {"ThreadsMayShareHandles", threads_may_share_handles, 2, 0},
      {"ADeviceHoldsTheWeightsOnce", a_device_holds_the_weights_once, 4, 0},
  };
  for (size_t i = 0; argc > 1 && i < sizeof claims / sizeof *claims; ++i) {
    if (strcmp(argv[1], claims[i].claim) != 0 || argc != 2 + claims[i].arguments) continue;
    if (!claims[i].brings_ort) load_ort();
    claims[i].check(argv + 2);
    return 0;
  }
  fprintf(stderr, "usage: runtime_c_test CLAIM ARGUMENT...\n");
  return 2;
}
