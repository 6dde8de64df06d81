#include "wshare/runtime_c.h"

#include <algorithm>
#include <cstring>

#include "runtime/c_api/guard.h"
#include "util/visible.h"

// The C API, but for sessions (runtime_c_session.cc): versions, errors, the environment, bundles,
// options, memory.

namespace wshare {
namespace {

wshare_error& no_memory() noexcept {
  static wshare_error error{WSHARE_INTERNAL, "no memory left", {}};  // short enough to need none
  return error;
}

Tier tier_of(int number) {
  switch (number) {
    case WSHARE_TIER_AUTO:
      return Tier::kAuto;
    case WSHARE_TIER_SHARED:
      return Tier::kShared;
    case WSHARE_TIER_COMPACT:
      return Tier::kCompact;
    case WSHARE_TIER_PACKED:
      return Tier::kPacked;
  }
  throw Error(ErrorCode::kInvalid, std::to_string(number) + " is no tier",
              "there is WSHARE_TIER_AUTO, _SHARED, _COMPACT, _PACKED");
}

uint64_t number_of(Tier tier) {
  switch (tier) {
    case Tier::kAuto:
      return WSHARE_TIER_AUTO;
    case Tier::kShared:
      return WSHARE_TIER_SHARED;
    case Tier::kCompact:
      return WSHARE_TIER_COMPACT;
    case Tier::kPacked:
      return WSHARE_TIER_PACKED;
  }
  return WSHARE_TIER_AUTO;
}

wshare_memory figures_of(const ModelReport& report) {
  wshare_memory figures{};
  figures.shared_bytes = report.shared_bytes;
  figures.left_bytes = report.left_bytes();
  figures.shared_tensors = report.shared_tensors.size();
  figures.packed_shared = report.packed_shared ? 1 : 0;
  figures.tier = number_of(report.tier);
  figures.packed_bytes = report.packed_bytes;
  if (report.device) {
    figures.device_own = report.device->own_bytes;
    figures.device_unshared = report.device->unshared_bytes;
    figures.host_bytes = report.device->host_bytes;
  }
  return figures;
}

const ModelReport& find_report(const Report& report, const std::string& model) {
  const auto found = std::find_if(report.models.begin(), report.models.end(),
                                  [&](const ModelReport& each) { return each.model == model; });
  if (found != report.models.end()) return *found;
  throw Error(ErrorCode::kInvalid, in_quotes(model) + ": no session of it was made");
}

}  // namespace

wshare_error* make_error(int code, const char* message, const std::string& hint) noexcept {
  try {
    return new wshare_error{code, visible(message), visible(hint)};
  } catch (...) {
    return &no_memory();
  }
}

}  // namespace wshare

using namespace wshare;

int wshare_c_api_version(void) { return WSHARE_C_API_VERSION; }

const char* wshare_version(void) { return WSHARE_VERSION; }

int wshare_error_code(const wshare_error* error) {
  return error == nullptr ? WSHARE_OK : error->code;
}

const char* wshare_error_message(const wshare_error* error) {
  return error == nullptr ? "" : error->message.c_str();
}

const char* wshare_error_hint(const wshare_error* error) {
  return error == nullptr ? "" : error->hint.c_str();
}

void wshare_error_free(wshare_error* error) {
  if (error != &no_memory()) delete error;
}

wshare_error* wshare_use_onnxruntime(const OrtApiBase* base) {
  return guard([&] {
    require(base, "base");
    use_host_runtime(base);
  });
}

wshare_error* wshare_onnxruntime(const OrtApiBase** base) {
  return guard([&] {
    require_result(base, "base");
    *base = host_runtime().base;
  });
}

wshare_error* wshare_set_up_environment(int intra_op_threads, int inter_op_threads, int arena) {
  return guard([&] {
    host_runtime();
    EnvironmentOptions options;
    options.arena = arena != 0;
    if (intra_op_threads != WSHARE_OWN_THREADS)
      options.threads = SharedThreads{intra_op_threads, inter_op_threads};
    set_up_environment(options);
  });
}

static wshare_error* open_bundle(const char* folder, const BundleOptions& options,
                                 wshare_bundle** bundle) {
  return guard([&] {
    require_result(bundle, "bundle");
    require(folder, "folder");
    host_runtime();
    *bundle = new wshare_bundle{Bundle::open(folder, options)};
  });
}

wshare_error* wshare_bundle_open(const char* folder, wshare_bundle** bundle) {
  return open_bundle(folder, {}, bundle);
}

wshare_error* wshare_bundle_open_checked(const char* folder, wshare_bundle** bundle) {
  return open_bundle(folder, {true}, bundle);
}

void wshare_bundle_close(wshare_bundle* bundle) { delete bundle; }

wshare_error* wshare_bundle_reload(wshare_bundle* bundle, int* changed) {
  return guard([&] {
    if (changed != nullptr) *changed = 0;
    require(bundle, "bundle");
    const bool is_new = bundle->bundle.reload();
    if (changed != nullptr) *changed = is_new ? 1 : 0;
  });
}

wshare_error* wshare_bundle_prefault(wshare_bundle* bundle, const char* model, int lock,
                                     uint64_t* bytes) {
  return guard([&] {
    if (bytes != nullptr) *bytes = 0;
    require(bundle, "bundle");
    require(model, "model");
    const uint64_t read =
        bundle->bundle.prefault(model, lock != 0 ? Prefault::kLock : Prefault::kRead);
    if (bytes != nullptr) *bytes = read;
  });
}

wshare_error* wshare_bundle_models(const wshare_bundle* bundle, wshare_names** models) {
  return guard([&] {
    require_result(models, "models");
    require(bundle, "bundle");
    *models = new wshare_names{bundle->bundle.models()};
  });
}

size_t wshare_names_count(const wshare_names* names) {
  return names == nullptr ? 0 : names->names.size();
}

const char* wshare_names_get(const wshare_names* names, size_t index) {
  return index < wshare_names_count(names) ? names->names[index].c_str() : nullptr;
}

void wshare_names_free(wshare_names* names) { delete names; }

wshare_error* wshare_options_new(wshare_options** options) {
  return guard([&] {
    require_result(options, "options");
    host_runtime();
    *options = new wshare_options{};
  });
}

void wshare_options_free(wshare_options* options) { delete options; }

wshare_error* wshare_options_set_tier(wshare_options* options, int tier) {
  return guard([&] {
    require(options, "options");
    options->options.tier = tier_of(tier);
  });
}

wshare_error* wshare_options_set_ort(wshare_options* options, const OrtSessionOptions* ort) {
  return guard([&] {
    require(options, "options");
    require(ort, "ort");
    options->options.ort = Ort::ConstSessionOptions(ort).Clone();
  });
}

wshare_error* wshare_options_set_device(wshare_options* options, const char* provider,
                                        const char* library, size_t index) {
  return guard([&] {
    require(options, "options");
    require(provider, "provider");
    options->options.device = Device::open(provider, text_or_empty(library), index);
  });
}

wshare_error* wshare_options_set_device_option(wshare_options* options, const char* key,
                                               const char* value) {
  return guard([&] {
    require(options, "options");
    require(key, "key");
    require(value, "value");
    std::optional<Device>& device = options->options.device;
    if (!device) {
      throw Error(ErrorCode::kInvalid, "the options have no device",
                  "call wshare_options_set_device() before");
    }
    ProviderOptions all = device->options();
    all[key] = value;
    device = Device(device->ep_device(), std::move(all));
  });
}

wshare_error* wshare_options_set_device_copies(wshare_options* options, int keep) {
  return guard([&] {
    require(options, "options");
    options->options.device_copies = keep != 0 ? DeviceCopies::kKeep : DeviceCopies::kRefuse;
  });
}

wshare_error* wshare_bundle_memory(const wshare_bundle* bundle, const char* model,
                                   wshare_memory* memory) {
  return guard([&] {
    require(memory, "memory");
    const uint64_t size = memory->struct_size;
    if (size < sizeof size || size > UINT16_MAX)  // one that was not set is most likely random
      throw Error(ErrorCode::kInvalid, "struct_size is " + std::to_string(size),
                  "set it to sizeof(wshare_memory)");
    std::memset(memory, 0, size);  // also fields of a later version, which this one does not have
    memory->struct_size = size;
    require(bundle, "bundle");
    require(model, "model");
    wshare_memory figures = figures_of(find_report(bundle->bundle.report(), model));
    figures.struct_size = size;
    std::memcpy(memory, &figures, std::min<size_t>(size, sizeof figures));
  });
}

wshare_error* wshare_bundle_device_bytes(const wshare_bundle* bundle, uint64_t* bytes) {
  return guard([&] {
    require_result(bytes, "bytes");
    require(bundle, "bundle");
    *bytes = bundle->bundle.report().device_bytes();
  });
}
