#include "runtime/provider_session.h"

#include <string>
#include <utility>

#include "runtime/environment.h"
#include "runtime/handover.h"
#include "runtime/known_provider.h"
#include "runtime/session_parts.h"

// Some providers compile a model and take nothing from outside: weights that they are handed they
// leave, without a word, and read the model's file. So they are handed none. Those that can share
// what they made among sessions of one folder are told to: all models of a bundle are in one. When
// they make it, and so what it saves, is theirs; it may be the first run.

namespace wshare {

Session open_by_provider(const std::shared_ptr<BundleState>& bundle, const ModelRecord& record,
                         std::span<const std::byte> model, const SessionOptions& options,
                         ModelReport& report) {
  Handover handover = plan_handover(bundle->files.records(), record, model);
  for (const TensorRecord* tensor : std::exchange(handover.shared, {}))
    add_left(handover.left, LeftReason::kProvider, tensor->extent.size);
  auto keep_alive = std::make_shared<KeepAlive>();
  keep_alive->owners.push_back(bundle);
  Ort::SessionOptions ort = join_environment(record.name, options);
  options.device->append_to(ort);
  attach_log(options, ort, *keep_alive);
  const std::string entry = find_known_provider(options.device->provider())->shares_by;
  if (!ort.HasConfigEntry(entry.c_str())) ort.AddConfigEntry(entry.c_str(), "1");
  Ort::Session session(environment(), bundle->folder->path_of(record.file).c_str(), ort);
  check_providers(record.name, options, session);
  report = make_report(record, handover);
  report.packed_shared = true;  // of what is shared: nothing
  report.device = DeviceReport{.provider = options.device->provider()};
  return Session(std::move(keep_alive), std::move(session));
}

}  // namespace wshare
