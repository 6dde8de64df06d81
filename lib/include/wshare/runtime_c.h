#ifndef WSHARE_RUNTIME_C_H_
#define WSHARE_RUNTIME_C_H_

/* The loader for C, and for every language that calls C: libwshare_runtime.so. One file, since it
 * is what bindings are written after; docs/loader.md, "From other languages", shows some.
 *
 * Errors: functions that can fail return NULL when all is well, else an error that the caller frees
 * with wshare_error_free(). What they would have given through a pointer is NULL (or 0) then. No
 * C++ exception leaves this library. NULL for an argument that may not be NULL is an error
 * (WSHARE_INVALID), never a crash.
 *
 * Ownership: a wshare_X comes from one call and goes with wshare_X_free() or wshare_X_close(), in
 * any order: a session keeps what it needs of its bundle. Strings that are passed in are copied.
 * Strings that are returned are UTF-8, end with NUL, and live as long as what they were asked of.
 *
 * Threads: all functions may be called by several threads at once, also with one handle, with two
 * exceptions: wshare_options_set_*(), by one thread at a time and not during an open with these
 * options; and closing or freeing, which must be the last use.
 *
 * Processes: open bundles after fork(), not before; threads of ONNX Runtime do not survive it.
 *
 * ABI: what stands here stays. Numbers keep their meaning, functions their arguments, structs grow
 * at the end only. A change that breaks programs has another soname. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Functions are added with a new number here, so that bindings can ask for them. */
#define WSHARE_C_API_VERSION 4

/* ONNX Runtime's own, from onnxruntime_c_api.h, which need not be included. */
struct OrtApiBase;
struct OrtIoBinding;
struct OrtRunOptions;
struct OrtSession;
struct OrtSessionOptions;
struct OrtValue;

typedef struct wshare_bundle wshare_bundle;   /* a bundle open for sessions */
typedef struct wshare_catalog wshare_catalog; /* a bundle for sessions that others make */
typedef struct wshare_error wshare_error;     /* what went wrong */
typedef struct wshare_names wshare_names;     /* a list of names */
typedef struct wshare_options wshare_options; /* how to open a session */
typedef struct wshare_plan wshare_plan;       /* how others make a session */
typedef struct wshare_session wshare_session; /* an OrtSession and what its weights need */
typedef struct wshare_task wshare_task;       /* an adapter for a session that others made */

/* ---- Versions ---------------------------------------------------------------------------- */

/* Returns WSHARE_C_API_VERSION of the library. One that is lower than the header's lacks functions.
 */
int wshare_c_api_version(void);

/* Returns the version of wshare, "0.2.0". */
const char* wshare_version(void);

/* ---- Errors ------------------------------------------------------------------------------ */

/* What wshare_error_code() returns; the exit codes of the command line. */
#define WSHARE_OK 0
#define WSHARE_IO 3          /* a file cannot be read */
#define WSHARE_INVALID 4     /* an argument or a file is wrong, or two contradict each other */
#define WSHARE_UNSUPPORTED 5 /* it may be right, but this build or version cannot handle it */
#define WSHARE_RUNTIME 6     /* ONNX Runtime reported an error */
#define WSHARE_INTERNAL 70   /* no memory left, or a bug in wshare */

/* Returns one of the codes; WSHARE_OK for NULL. */
int wshare_error_code(const wshare_error* error);

/* Returns one line: subject first, then what is wrong; "" for NULL. */
const char* wshare_error_message(const wshare_error* error);

/* Returns what the user can do, or "". */
const char* wshare_error_hint(const wshare_error* error);

/* Frees the error and its texts; NULL is nothing. */
void wshare_error_free(wshare_error* error);

/* ---- Which ONNX Runtime ------------------------------------------------------------------ */

/* A pointer of one ONNX Runtime means nothing to another, so this library brings none along. It
 * uses one for the whole process, found at first need:
 *   1. what wshare_use_onnxruntime() was given;
 *   2. what the environment's WSHARE_ONNXRUNTIME names: a library, a folder, a Python environment;
 *   3. the one in the process whose symbols are visible, or whose soname is libonnxruntime.so.1;
 *   4. libonnxruntime.so.1 in LD_LIBRARY_PATH, or where an installed wshare brought it along;
 *   5. that of the active virtual environment (VIRTUAL_ENV);
 *   6. libonnxruntime.so.1 of the system.
 * It must be 1.20 or newer; what an older one lacks fails with WSHARE_UNSUPPORTED. */

/* Makes this library use the ONNX Runtime of `base`, the result of its OrtGetApiBase(). Needed only
 * where no search finds it: one that is linked statically, or loaded under another name.
 *
 * Fails with WSHARE_INVALID if another one is in use already, WSHARE_UNSUPPORTED if it is too old.
 */
wshare_error* wshare_use_onnxruntime(const struct OrtApiBase* base);

/* Gives the ONNX Runtime in use. Who takes OrtApi from here cannot mix two of them.
 *
 * Fails with WSHARE_UNSUPPORTED if there is none, or it is too old. So do all functions that need
 * one. */
wshare_error* wshare_onnxruntime(const struct OrtApiBase** base);

/* ---- What all sessions of the process share beside weights -------------------------------- */

#define WSHARE_OWN_THREADS -1 /* each session has threads of its own, as its options say */

/* Makes ONNX Runtime's environment, of which a process has one; to be called before the first
 * bundle, options or device, and once. (Since version 2.)
 *
 * `intra_op_threads`: one pool of so many threads for all sessions, the one that runs a session
 * among them; 0: one per core; or WSHARE_OWN_THREADS. `inter_op_threads`: the same for operators
 * side by side, where sessions ask for that; else 1. `arena`: 1: sessions on the CPU have one arena
 * for what they compute with, and one after the other need the memory of one; 0: each has its own.
 *
 * Sessions take part by themselves: what their options say of numbers of threads and of an arena is
 * of no effect then. One with the config entry session.use_env_allocators=0 has memory of its own.
 *
 * Fails with WSHARE_INVALID if the environment was made before with other options, also by the
 * program itself without shared threads, or a number is no number of threads. */
wshare_error* wshare_set_up_environment(int intra_op_threads, int inter_op_threads, int arena);

/* ---- Bundles ----------------------------------------------------------------------------- */

/* Opens the bundle in `folder` and maps the blobs that sessions need. The files must stay as they
 * are while any session lives.
 *
 * Fails with WSHARE_IO or WSHARE_INVALID if it is no bundle or a blob has a wrong size. */
wshare_error* wshare_bundle_open(const char* folder, wshare_bundle** bundle);

/* The same; the bytes of each pack are compared with the manifest before the first session over it,
 * which then fails with WSHARE_INVALID where they differ: damaged ones give wrong outputs without
 * an error. */
wshare_error* wshare_bundle_open_checked(const char* folder, wshare_bundle** bundle);

/* Ends the use of the handle; its sessions go on. NULL is nothing. */
void wshare_bundle_close(wshare_bundle* bundle);

/* Reads the manifest anew: what commands have added or taken away since is so from then on.
 * Sessions go on, as they were, and new ones share maps, packed weights and what lies on devices
 * with them, unless another bundle has taken the folder's place. `changed` is 1 if there was
 * something new; it may be NULL. (Since version 3.)
 *
 * Fails as wshare_bundle_open() does; all is as before then. */
wshare_error* wshare_bundle_reload(wshare_bundle* bundle, int* changed);

/* Reads what sessions of `model` need into the page cache; with `lock` 1 it also stays there, until
 * the bundle and all its sessions are closed. `bytes`, which may be NULL, gets how much that is.
 * (Since version 3.)
 *
 * Fails with WSHARE_INVALID if there is no such model, WSHARE_IO if a file is missing or the
 * process may not lock so much. */
wshare_error* wshare_bundle_prefault(wshare_bundle* bundle, const char* model, int lock,
                                     uint64_t* bytes);

/* Gives the names of the models, in the order of the manifest, for wshare_names_free(). */
wshare_error* wshare_bundle_models(const wshare_bundle* bundle, wshare_names** models);

/* Returns how many names there are; 0 for NULL. */
size_t wshare_names_count(const wshare_names* names);

/* Returns name number `index`, NULL if there are fewer. */
const char* wshare_names_get(const wshare_names* names, size_t index);

/* Frees the list and its names; NULL is nothing. */
void wshare_names_free(wshare_names* names);

/* ---- Options of a session ---------------------------------------------------------------- */

#define WSHARE_TIER_AUTO 0    /* the best that this bundle and machine allow: packed, or shared */
#define WSHARE_TIER_SHARED 1  /* one copy, also of packed weights; the bits of a plain session */
#define WSHARE_TIER_COMPACT 2 /* one copy, nothing packed: least memory, slower, other bits */
#define WSHARE_TIER_PACKED 3  /* over what 'wshare pack' made: one copy for all processes */

/* Gives the defaults: WSHARE_TIER_AUTO, ONNX Runtime's default options, on the CPU. */
wshare_error* wshare_options_new(wshare_options** options);

/* Frees the options, of which sessions have copies; NULL is nothing. */
void wshare_options_free(wshare_options* options);

/* `tier` is one of WSHARE_TIER_*; WSHARE_INVALID if it is none. */
wshare_error* wshare_options_set_tier(wshare_options* options, int tier);

/* Copies `ort`: threads, optimisation level, config entries. wshare adds the shared weights. */
wshare_error* wshare_options_set_ort(wshare_options* options, const struct OrtSessionOptions* ort);

/* Makes sessions run on device number `index` of `provider`: its name, in any case and with or
 * without "ExecutionProvider" at the end ("cuda"). `library` is the plugin that has the provider.
 * It may be NULL or empty where the provider is registered already, or is CUDA, whose library is
 * looked for beside that of ONNX Runtime.
 *
 * Fails with WSHARE_UNSUPPORTED, naming all that is missing of driver, GPU and libraries, WSHARE_IO
 * if `library` does not exist, WSHARE_INVALID if there is no such provider or index. */
wshare_error* wshare_options_set_device(wshare_options* options, const char* provider,
                                        const char* library, size_t index);

/* Gives the provider of the device the option `key`, by the name that it documents, with each
 * session; to be called after wshare_options_set_device(). Of options that they do not know most
 * providers say nothing. WSHARE_INVALID if there is no device. */
wshare_error* wshare_options_set_device_option(wshare_options* options, const char* key,
                                               const char* value);

/* What becomes of copies of shared weights that a session would make on the device: 0, the default:
 * avoided where possible, else the open fails and says what makes them; 1: made and counted. */
wshare_error* wshare_options_set_device_copies(wshare_options* options, int keep);

/* ---- Sessions ---------------------------------------------------------------------------- */

/* Opens a session of `model` over the shared weights. `options` may be NULL: the defaults. They are
 * copied.
 *
 * Fails with WSHARE_INVALID if there is no such model, or model and manifest contradict each other;
 * WSHARE_IO if a file is missing; WSHARE_RUNTIME if ONNX Runtime refuses the model;
 * WSHARE_UNSUPPORTED if a device would hold copies of shared weights. */
wshare_error* wshare_session_open(wshare_bundle* bundle, const char* model,
                                  const wshare_options* options, wshare_session** session);

/* Ends the session, and unmaps what no other handle needs. No run may be in progress. Values that
 * runs returned stay valid. NULL is nothing. */
void wshare_session_close(wshare_session* session);

/* Returns the session for ONNX Runtime's own functions, such as Run(): lent until
 * wshare_session_close(), which releases it. Never to be given to ReleaseSession(). NULL for NULL.
 */
struct OrtSession* wshare_session_ort(const wshare_session* session);

/* ---- Tasks: one session, an adapter for each run ----------------------------------------- */

/* Wherever a task is named: NULL or "" is the model itself. The adapter of a task is mapped and
 * checked when it is first named, and stays until it is removed or the session is closed.
 * WSHARE_INVALID if there is no such task, its file is not the manifest's or does not fit the
 * model's inputs; WSHARE_IO if it is missing. */

/* Gives the names of the tasks that run on this session: those of the bundle that are an adapter
 * over its model or equal to it, then those added. None for most models. For wshare_names_free().
 */
wshare_error* wshare_session_tasks(const wshare_session* session, wshare_names** tasks);

/* Adds the .onnx_adapter at `path`, which may come from anywhere, as the task `name`. The file must
 * stay as it is. WSHARE_INVALID if there is a task `name`, or the file does not fit. */
wshare_error* wshare_session_add_adapter(wshare_session* session, const char* name,
                                         const char* path);

/* Ends the use of the adapter of `task`: one that was added is no task any more, one of the bundle
 * is mapped anew where it is named again. Runs in progress go on. Run options for the task must not
 * be used any more, and bindings only after wshare_session_bind(). (Since version 3.)
 *
 * Fails with WSHARE_INVALID if no such adapter is there. */
wshare_error* wshare_session_remove_adapter(wshare_session* session, const char* task);

/* Runs the session with the weights of `task`, as OrtApi::Run() with its adapter. `outputs` gets
 * `output_count` new values, for ReleaseValue(); all NULL if this fails. Inputs stay the caller's;
 * their arrays may be NULL where the count is 0.
 *
 * Fails with WSHARE_INVALID if an input is one that the task gives, WSHARE_RUNTIME with ONNX
 * Runtime's message. */
wshare_error* wshare_session_run(wshare_session* session, const char* task,
                                 const char* const* input_names,
                                 const struct OrtValue* const* inputs, size_t input_count,
                                 const char* const* output_names, size_t output_count,
                                 struct OrtValue** outputs);

/* Gives run options that make an OrtApi::Run() of wshare_session_ort() a run of `task`. The
 * caller's, for ReleaseRunOptions(), before or after the session is closed. ONNX Runtime ignores
 * them in RunAsync() and, silently, with an IoBinding: there, wshare_session_bind(). */
wshare_error* wshare_session_run_options(wshare_session* session, const char* task,
                                         struct OrtRunOptions** options);

/* Makes runs of wshare_session_ort() with `binding`, one of that session, runs of `task`, by
 * binding every input that any task gives. To be called again for another task, and after
 * ClearBoundInputs().
 *
 * Fails, and binds nothing, with WSHARE_INVALID if an input of another task has no default, and
 * WSHARE_UNSUPPORTED if it has one that cannot be read. */
wshare_error* wshare_session_bind(wshare_session* session, struct OrtIoBinding* binding,
                                  const char* task);

/* ---- Sessions that others make ------------------------------------------------------------ */

/* For a language whose ONNX Runtime takes no session from outside (Python's module has one of its
 * own inside): how to make one with it over the same copy. None of these functions needs or loads
 * an ONNX Runtime. Texts are JSON objects, which may get further keys. (Since version 4.) */

/* Opens the bundle in `folder`. Fails as wshare_bundle_open() does. */
wshare_error* wshare_catalog_open(const char* folder, wshare_catalog** catalog);

/* Ends the use of the handle; plans go on. NULL is nothing. */
void wshare_catalog_close(wshare_catalog* catalog);

/* As wshare_bundle_reload(): for plans that are made afterwards, and for wshare_plan_task(). */
wshare_error* wshare_catalog_reload(wshare_catalog* catalog, int* changed);

/* Gives the names of the models, for wshare_names_free(). */
wshare_error* wshare_catalog_models(const wshare_catalog* catalog, wshare_names** models);

/* Gives the names of the tasks that run on a session of `base`, for wshare_names_free(). */
wshare_error* wshare_catalog_tasks(const wshare_catalog* catalog, const char* base,
                                   wshare_names** tasks);

/* Who will make the session, and how. Integers are uint64_t, so there is no padding. */
typedef struct wshare_plan_request {
  uint64_t struct_size;     /* to be set by the caller: sizeof(wshare_plan_request) */
  const char* onnxruntime;  /* its version: "1.32.0" */
  const char* optimization; /* that its options ask for: "basic", "extended", "all"; NULL: any */
  uint64_t on_device;       /* 1: with a provider beside that of the CPU */
  uint64_t packing_off;     /* 1: its options have session.disable_prepacking=1 */
  uint64_t own_files;       /* 1: its options must not be given files in memory */
} wshare_plan_request;

/* Tells how to make a session of `model`, of the bundle as it is now. Of what the plan names, sizes
 * and hashes of models are checked.
 *
 * Fails with WSHARE_INVALID if there is no such model, or a file is not the manifest's; WSHARE_IO
 * if one is missing; WSHARE_UNSUPPORTED if the process has no room for maps. */
wshare_error* wshare_catalog_plan(const wshare_catalog* catalog, const char* model,
                                  const wshare_plan_request* request, wshare_plan** plan);

/* Ends the use of the plan, and of what wshare_plan_map() gave: a session that was made by it must
 * be gone. NULL is nothing. */
void wshare_plan_close(wshare_plan* plan);

/* Returns what is to be done, "" for NULL:
 *   {"model", "file", "file_bytes", "weight_bytes",
 *    "ways": [{"way", "file", "path", "optimise", "config": {KEY: VALUE}, "lend": [FILE]}],
 *    "packs": [{"file", "onnxruntime", "cpu", "optimization", "packed_bytes", "why_not"}], "why"}
 * Ways are to be tried in this order; only one that is "packed" may fail without the model being at
 * fault. The session is of the model at `path`, which leads to the bundle's own folder as long as
 * the plan is open, with its options' entries of `config`; where `optimise` is false, with graph
 * optimisation off; and with the files `lend`, as wshare_plan_map() gives them, as files in memory
 * of external initializers. "way" is "packed" (over a pack), "lent" (the model, over maps of the
 * plan) or "mapped" (the model, over maps of ONNX Runtime). "why" says why none is packed. */
const char* wshare_plan_json(const wshare_plan* plan);

/* Gives the bytes of `file`, one of "lend": one map for all plans of the catalog, never to be
 * written to. */
wshare_error* wshare_plan_map(const wshare_plan* plan, const char* file, const void** bytes,
                              uint64_t* size);

/* To be called after the session was made: fails with WSHARE_IO if the bundle has changed
 * meanwhile, so that the session may be of other files. */
wshare_error* wshare_plan_check(const wshare_plan* plan);

/* Gives the adapter of `task` for a session by `plan`, checked as one of wshare_session_run().
 * `inputs`, those of the session with what has a default, is a JSON array of
 * {"name", "type", "shape": [SIZE|NAME|null], "has_default"}; types as numpy calls them. */
wshare_error* wshare_plan_task(const wshare_plan* plan, const char* task, const char* inputs,
                               wshare_task** result);

/* Returns {"task", "file", "path", "parameters": [NAME]}, "" for NULL: runs of the task need the
 * .onnx_adapter at `path`, which leads there until wshare_task_free(), and must not be given what
 * the parameters are called. `path` is "" where the task equals its base. */
const char* wshare_task_json(const wshare_task* task);

/* Frees the texts; NULL is nothing. */
void wshare_task_free(wshare_task* task);

/* ---- Memory ------------------------------------------------------------------------------ */

/* What the last session of a model took, in bytes. All fields are uint64_t, so there is no padding.
 */
typedef struct wshare_memory {
  uint64_t struct_size;     /* to be set by the caller: sizeof(wshare_memory) */
  uint64_t shared_bytes;    /* of weights that are one copy for all sessions of the bundle */
  uint64_t left_bytes;      /* of weights that each session loads for itself */
  uint64_t shared_tensors;  /* how many tensors shared_bytes are */
  uint64_t packed_shared;   /* 1 if packed forms of them are one copy, too; else 0 */
  uint64_t device_own;      /* on a device: of the session itself, right after it was made */
  uint64_t device_unshared; /* what its tensors that are not shared may take of them */
  uint64_t host_bytes;      /* of shared_bytes: used by nodes on the CPU, in the bundle's maps */
  uint64_t tier;            /* one of WSHARE_TIER_*, that it was made with: not WSHARE_TIER_AUTO */
  uint64_t packed_bytes;    /* over a pack: of the form that kernels use, one copy, too */
} wshare_memory;

/* Fills `memory` with the figures of the last session of `model`, as far as struct_size goes.
 *
 * Fails with WSHARE_INVALID if no session of it was made, or struct_size is no size of this struct.
 */
wshare_error* wshare_bundle_memory(const wshare_bundle* bundle, const char* model,
                                   wshare_memory* memory);

/* Gives the bytes that the bundle's weights take on devices now, once for all sessions. */
wshare_error* wshare_bundle_device_bytes(const wshare_bundle* bundle, uint64_t* bytes);

#ifdef __cplusplus
}
#endif

#endif /* WSHARE_RUNTIME_C_H_ */
