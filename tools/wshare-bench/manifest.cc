#include "manifest.h"

#include <unistd.h>

#include <any>
#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "format/manifest/text.h"
#include "util/as_text.h"
#include "util/mapped_file.h"
#include "util/memory.h"
#include "util/temporary_folder.h"

namespace {

struct Options {
  uint64_t tensors = 500000;
  uint64_t models = 1;
};

wshare::Manifest make_manifest(const Options& options) {
  wshare::Manifest manifest;
  manifest.blobs = {{"shared.bin", options.tensors * 4096}, {"restore.bin", 64}};
  for (uint64_t m = 0; m < options.models; ++m) {
    wshare::ModelRecord& model = manifest.models.emplace_back();
    model.name = "model_" + std::to_string(m);
    model.file = model.name + ".onnx";
    model.source = wshare::SourceRecord{"", model.file, 1, {}, {1, 0, 8}, {}};
    for (uint64_t t = 0; t < options.tensors / options.models; ++t) {
      const std::string name = "model.layers." + std::to_string(t) + ".self_attn.q_proj.weight";
      const auto index = static_cast<uint8_t>(t);
      model.tensors.push_back({"", name, {32, 32}, {0, t * 4096, 4096}, {{index}}, 1, false});
    }
  }
  return manifest;
}

uint64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) << 10;
  }
  return 0;
}

void measure(const char* what, const std::filesystem::path& path,
             const std::function<std::any(std::string_view)>& read) {
  const wshare::MappedFile file = wshare::MappedFile::open(path);
  wshare::trim_heap();
  const uint64_t before = anonymous_bytes();
  std::atomic<uint64_t> peak{before};
  std::jthread watch([&](const std::stop_token& stop) {
    for (; !stop.stop_requested(); usleep(500)) peak = std::max(peak.load(), anonymous_bytes());
  });
  const auto start = std::chrono::steady_clock::now();
  const std::any records = read(wshare::as_text(file.bytes()));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const uint64_t kept = anonymous_bytes() - before;
  watch.request_stop();
  watch.join();
  std::cout << what << ": " << seconds.count() << " s, " << kept << " bytes kept, " << peak - before
            << " at peak, of " << file.bytes().size() << " of text\n";
}

}  // namespace

void add_manifest_command(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("manifest", "Measures what reading a manifest takes.");
  command->add_option("--tensors", options->tensors, "in all models")->capture_default_str();
  command->add_option("--models", options->models, "with equal names")->capture_default_str();
  command->callback([options] {
    const wshare::TemporaryFolder folder;
    const std::filesystem::path path = folder.path / "manifest.json";
    std::ofstream(path, std::ios::binary) << wshare::to_json(make_manifest(*options), 2);
    const auto index = [](std::string_view text) {
      return std::make_shared<wshare::ManifestIndex>(wshare::index_manifest(text));
    };
    measure("index", path, index);
    measure("index and one model", path, [&](std::string_view text) {
      const auto found = index(text);
      return std::pair(found, wshare::read_model_part(text, *found, "model_0"));
    });
    measure("all", path, [](std::string_view text) {
      return std::make_shared<wshare::Manifest>(wshare::parse_manifest(text));
    });
  });
}
