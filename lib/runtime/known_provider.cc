#include "runtime/known_provider.h"

#include <algorithm>
#include <array>

#include "runtime/provider_library.h"

namespace wshare {
namespace {

constexpr std::array kKnown = {
    // Its cache of buffers rounds sizes up by a half, and keeps what is freed.
    KnownProvider{"WebGpuExecutionProvider",
                  "it wants a GPU, and its driver for Vulkan; with "
                  "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1 in the environment it takes a driver "
                  "that runs on the CPU, too",
                  "storageBufferCacheMode", "disabled", true, nullptr, nullptr},
    KnownProvider{"OpenVINOExecutionProvider", "it wants hardware of Intel (vendor 0x8086)",
                  nullptr, nullptr, false,
                  "it leaves weights that it is handed, without a word, and reads the model's file",
                  "ep.share_ep_contexts"},
    KnownProvider{"ggml", "it wants a CPU with AVX2", nullptr, nullptr, false,
                  "it copies weights into memory of its own: each session holds 1.5 times their "
                  "bytes",
                  nullptr},
};

}  // namespace

const KnownProvider* find_known_provider(std::string_view name) {
  const auto found = std::find_if(kKnown.begin(), kKnown.end(), [&](const KnownProvider& each) {
    return is_provider(name, each.name) || is_provider(each.name, name);
  });
  return found == kKnown.end() ? nullptr : &*found;
}

}  // namespace wshare
