/* The C API as a C program meets it: runtime_c_test CLAIM ARGUMENT... (tests/CMakeLists.txt has
 * them). Ends with 0 if the claim is true; else says where not. */

#include <dirent.h>
#include <pthread.h>
#include <wshare/runtime_c.h>

#include "runtime_c/runs.h"

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

/* BUNDLE MODEL: tier and ONNX Runtime's options are those of the session. */
static void options_reach_the_session(char** arguments) {
  wshare_bundle* bundle = NULL;
  wshare_options* options = NULL;
  wshare_session* session = NULL;
  OrtSessionOptions* own = NULL;
  wshare_memory memory = {.struct_size = sizeof memory};
  OK(wshare_bundle_open(arguments[0], &bundle));
  OK(wshare_options_new(&options));
  OK(wshare_options_set_tier(options, WSHARE_TIER_COMPACT));
  OK(wshare_session_open(bundle, arguments[1], options, &session));
  OK(wshare_bundle_memory(bundle, arguments[1], &memory));
  CHECK(memory.packed_shared == 0); /* compact packs nothing */
  CHECK(memory.tier == WSHARE_TIER_COMPACT);
  wshare_session_close(session);
  OK(wshare_options_set_tier(options, WSHARE_TIER_PACKED)); /* the bundle has no packs */
  CHECK(take_code(wshare_session_open(bundle, arguments[1], options, &session), "has no pack") ==
        WSHARE_UNSUPPORTED);
  wshare_bundle* checked = NULL;
  OK(wshare_bundle_open_checked(arguments[0], &checked));
  wshare_bundle_close(checked);
  OK(wshare_options_set_tier(options, WSHARE_TIER_COMPACT));
  ORT(CreateSessionOptions(&own));
  ORT(SetIntraOpNumThreads(own, 1));
  ORT(SetOptimizedModelFilePath(own, "no such folder/model.onnx"));
  OK(wshare_options_set_ort(options, own));
  ort->ReleaseSessionOptions(own); /* it was copied */
  CHECK(take_code(wshare_session_open(bundle, arguments[1], options, &session), "no such folder") ==
        WSHARE_RUNTIME);
  wshare_options_free(options);
  wshare_bundle_close(bundle);
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
  CHECK(take_code(wshare_options_set_ort(options, NULL), "'ort'") == WSHARE_INVALID);
  CHECK(take_code(wshare_options_set_device(options, "None", NULL, 0), "None") == WSHARE_INVALID);
  CHECK(take_code(wshare_options_set_device(options, "None", "/no.so", 0), "no.so") == WSHARE_IO);
  CHECK(take_code(wshare_options_set_device_option(options, "a", "b"), "no device") ==
        WSHARE_INVALID);
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

static int count_threads(void) {
  int count = 0;
  DIR* tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  while (readdir(tasks) != NULL) ++count;
  closedir(tasks);
  return count - 2; /* "." and ".." */
}

/* BUNDLE MODEL: sessions bring no threads of their own, where the process has some for all. */
static void sessions_share_threads(char** arguments) {
  wshare_bundle* bundle = NULL;
  CHECK(take_code(wshare_set_up_environment(-2, 1, 0), "-2") == WSHARE_INVALID);
  OK(wshare_set_up_environment(3, 1, 1));
  OK(wshare_set_up_environment(3, 1, 1)); /* the same once more */
  CHECK(take_code(wshare_set_up_environment(WSHARE_OWN_THREADS, 1, 1), "other options") ==
        WSHARE_INVALID);
  OK(wshare_bundle_open(arguments[0], &bundle));
  const int before = count_threads();
  wshare_session* first = open_session(bundle, arguments[1]);
  wshare_session* second = open_session(bundle, arguments[1]);
  CHECK(take_equal(run_by_hand(wshare_session_ort(first), NULL),
                   run_by_hand(wshare_session_ort(second), NULL)));
  CHECK(before >= 3 && count_threads() == before);
  wshare_session_close(first);
  wshare_session_close(second);
  wshare_bundle_close(bundle);
}

/* BUNDLE MODEL: how others make a session depends on their version and options; files are checked.
 */
static void plans_say_how_others_make_sessions(char** arguments) {
  wshare_catalog* catalog = NULL;
  wshare_names* models = NULL;
  wshare_plan* plan = NULL;
  wshare_task* task = NULL;
  const void* bytes = NULL;
  uint64_t size = 0;
  wshare_plan_request request = {.struct_size = sizeof request, .onnxruntime = "1.32.0"};
  OK(wshare_catalog_open(arguments[0], &catalog));
  OK(wshare_catalog_models(catalog, &models));
  CHECK(wshare_names_count(models) > 1);
  wshare_names_free(models);
  OK(wshare_catalog_plan(catalog, arguments[1], &request, &plan));
  CHECK(strstr(wshare_plan_json(plan), "\"way\":\"lent\"") != NULL);
  CHECK(strstr(strstr(wshare_plan_json(plan), "\"lend\""), "\"shared.bin\"") != NULL);
  CHECK(strstr(wshare_plan_json(plan), "has no pack") != NULL);
  wshare_catalog_close(catalog); /* the plan goes on */
  OK(wshare_plan_map(plan, "shared.bin", &bytes, &size));
  CHECK(bytes != NULL && size > 0);
  CHECK(take_code(wshare_plan_map(plan, "manifest.json", &bytes, &size), "manifest.json") ==
        WSHARE_INVALID);
  OK(wshare_plan_check(plan));
  CHECK(take_code(wshare_plan_task(plan, "nobody", "[]", &task), "nobody") == WSHARE_INVALID);
  CHECK(take_code(wshare_plan_task(plan, "nobody", "{", &task), "'inputs'") == WSHARE_INVALID);
  wshare_plan_close(plan);
  OK(wshare_catalog_open(arguments[0], &catalog));
  request.onnxruntime = "1.31.2"; /* copies what it is given */
  OK(wshare_catalog_plan(catalog, arguments[1], &request, &plan));
  CHECK(strstr(wshare_plan_json(plan), "\"way\":\"mapped\"") != NULL);
  wshare_plan_close(plan);
  request.onnxruntime = "latest";
  CHECK(take_code(wshare_catalog_plan(catalog, arguments[1], &request, &plan), "latest") ==
        WSHARE_INVALID);
  CHECK(plan == NULL);
  request.struct_size = 0;
  CHECK(take_code(wshare_catalog_plan(catalog, arguments[1], &request, &plan), "struct_size") ==
        WSHARE_INVALID);
  wshare_catalog_close(catalog);
  CHECK(take_code(wshare_catalog_open("no such folder", &catalog), "no such folder") == WSHARE_IO);
}

static void null_is_nothing(char** arguments) {
  (void)arguments;
  wshare_error_free(NULL);
  wshare_names_free(NULL);
  wshare_catalog_close(NULL);
  wshare_plan_close(NULL);
  wshare_task_free(NULL);
  wshare_options_free(NULL);
  wshare_session_close(NULL);
  wshare_bundle_close(NULL);
  CHECK(wshare_error_code(NULL) == WSHARE_OK);
  CHECK(strcmp(wshare_error_message(NULL), "") == 0 && strcmp(wshare_error_hint(NULL), "") == 0);
  CHECK(wshare_session_ort(NULL) == NULL);
  CHECK(wshare_names_count(NULL) == 0 && wshare_names_get(NULL, 0) == NULL);
  CHECK(wshare_c_api_version() == WSHARE_C_API_VERSION && strlen(wshare_version()) >= 5);
}

/* BUNDLE BASE: what a long-lived service calls. */
static void a_service_reloads_and_removes(char** arguments) {
  wshare_bundle* bundle = NULL;
  wshare_names* tasks = NULL;
  int changed = 1;
  uint64_t bytes = 0;
  OK(wshare_bundle_open(arguments[0], &bundle));
  OK(wshare_bundle_reload(bundle, &changed));
  OK(wshare_bundle_reload(bundle, NULL));
  CHECK(changed == 0);
  OK(wshare_bundle_prefault(bundle, arguments[1], 0, &bytes));
  CHECK(bytes > 0);
  OK(wshare_bundle_prefault(bundle, arguments[1], 0, NULL));
  CHECK(take_code(wshare_bundle_prefault(bundle, "nobody", 0, &bytes), "nobody") == WSHARE_INVALID);
  CHECK(bytes == 0);
  wshare_session* session = open_session(bundle, arguments[1]);
  OK(wshare_session_tasks(session, &tasks));
  const char* task = wshare_names_get(tasks, 0);
  CHECK(take_code(wshare_session_remove_adapter(session, task), task) == WSHARE_INVALID);
  OrtValue* before = run_task(session, task);
  OK(wshare_session_remove_adapter(session, task));
  CHECK(take_equal(before, run_task(session, task))); /* mapped anew */
  wshare_names_free(tasks);
  wshare_session_close(session);
  wshare_bundle_close(bundle);
}

struct turns {
  wshare_bundle* bundle;
  wshare_session* session;
  const char *base, *task;
};

static void* take_turns(void* argument) {
  const struct turns* turns = argument;
  for (int i = 0; i < 2; ++i) {
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

/* BUNDLE MODEL PROVIDER LIBRARY: two sessions have one copy there, which goes with the last. */
static void a_device_holds_the_weights_once(char** arguments) {
  wshare_bundle* bundle = NULL;
  wshare_options* options = NULL;
  wshare_session* sessions[2] = {NULL, NULL};
  uint64_t of_one = 0, of_two = 0, after = 1;
  wshare_memory memory = {.struct_size = sizeof memory};
  OK(wshare_options_new(&options));
  OK(wshare_options_set_device(options, arguments[2], arguments[3], 0));
  CHECK(take_code(wshare_options_set_device_option(options, NULL, "1"), "'key'") == WSHARE_INVALID);
  OK(wshare_options_set_device_option(options, "prepack", "0"));
  OK(wshare_options_set_device_copies(options, 1));
  OK(wshare_bundle_open(arguments[0], &bundle));
  OK(wshare_session_open(bundle, arguments[1], options, &sessions[0]));
  OK(wshare_bundle_device_bytes(bundle, &of_one));
  OK(wshare_session_open(bundle, arguments[1], options, &sessions[1]));
  OK(wshare_bundle_device_bytes(bundle, &of_two));
  OK(wshare_bundle_memory(bundle, arguments[1], &memory));
  CHECK(of_one > 0 && of_two == of_one);
  CHECK(memory.device_own > 0 && memory.shared_bytes >= of_one);
  wshare_options_free(options);
  wshare_session_close(sessions[0]);
  wshare_session_close(sessions[1]);
  OK(wshare_bundle_device_bytes(bundle, &after));
  CHECK(after == 0);
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
      {"OptionsReachTheSession", options_reach_the_session, 2, 0},
      {"TasksChangeTheOutputs", tasks_change_the_outputs, 3, 0},
      {"RefusalsHaveCodes", refusals_have_codes, 2, 0},
      {"AnOldOnnxRuntimeIsRefused", an_old_onnxruntime_is_refused, 1, 1},
      {"SessionsShareThreads", sessions_share_threads, 2, 0},
      {"PlansSayHowOthersMakeSessions", plans_say_how_others_make_sessions, 2, 1},
      {"NullIsNothing", null_is_nothing, 0, 1},
      {"AServiceReloadsAndRemoves", a_service_reloads_and_removes, 2, 0},
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
