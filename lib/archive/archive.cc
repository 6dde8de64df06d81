#include "wshare/archive.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "archive/archiver.h"
#include "bundle/drop_unneeded.h"
#include "bundle/edit.h"
#include "bundle/plan.h"
#include "compare/bases/choose.h"
#include "compare/bases/members.h"
#include "format/bundle_files.h"
#include "format/manifest/text.h"
#include "model/scan.h"
#include "util/parallel.h"
#include "util/suggest.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

// lock ─ whose bytes are computed from whose ─ one archive for each ─ manifest ─ old files gone
//
// The road of remove, for what goes, and of append, for what comes: new files beside the old ones,
// the manifest in one step.

namespace wshare {
namespace {

// Without names, a model stays as it is unless that saves this share of what it takes.
constexpr double kWorthwhile = 0.1;

// Why a model cannot be archived; "" if it can.
std::string obstacle(const Manifest& manifest, const ModelRecord& model) {
  for (const TaskRecord& task : manifest.tasks) {
    if (task.base == model.name || task.model == model.name)
      return "the task " + in_quotes(task.name) + " runs on it";
  }
  return model.source ? "" : "it came without an original";
}

std::set<std::string> named_targets(const Manifest& manifest,
                                    const std::vector<std::string>& names) {
  std::set<std::string> targets;
  for (const std::string& name : names) {
    if (find_archived(manifest, name) != nullptr)
      throw Error(ErrorCode::kInvalid, in_quotes(name) + ": is archived already");
    const std::string why = obstacle(manifest, find_model(manifest, name));
    if (!why.empty())
      throw Error(ErrorCode::kInvalid, in_quotes(name) + ": cannot be archived: " + why);
    targets.insert(name);
  }
  return targets;
}

// All that can be archived; notes in `left` what cannot.
std::set<std::string> possible_targets(const Manifest& manifest, std::vector<LeftModel>& left) {
  std::set<std::string> targets;
  for (const ModelRecord& model : manifest.models) {
    std::string why = obstacle(manifest, model);
    if (why.empty()) {
      targets.insert(model.name);
    } else {
      left.push_back({model.name, std::move(why)});
    }
  }
  return targets;
}

// The targets: with names all of them, without those that are worth it. Each comes after those that
// it is computed from.
std::vector<Target> choose_targets(const std::vector<Member>& members,
                                   const std::vector<Role>& roles, bool all,
                                   std::vector<LeftModel>& left) {
  std::set<size_t> bases;
  for (const Role& role : roles) {
    if (role.base) bases.insert(*role.base);
  }
  std::vector<Target> targets;
  for (size_t m = 0; m < members.size(); ++m) {
    if (!members[m].is_target) continue;
    const Role& role = roles[m];
    if (!all || (role.base && role.own > 0 && role.archived <= (1 - kWorthwhile) * role.own)) {
      targets.push_back({m, role.base, role.steps, role.sources});
    } else {
      left.push_back({members[m].name, bases.contains(m)            ? "others are computed from it"
                                       : role.base && role.own == 0 ? "others share all that it has"
                                                                    : "no other model gives it"});
    }
  }
  std::stable_sort(targets.begin(), targets.end(),
                   [](const Target& a, const Target& b) { return a.steps < b.steps; });
  return targets;
}

std::vector<std::string> file_names(const std::vector<Member>& members,
                                    const std::vector<Target>& targets, const fs::path& bundle,
                                    const Manifest& manifest) {
  UnusedNames names(taken_names(bundle, manifest));
  std::vector<std::string> files;
  for (const Target& target : targets)
    files.push_back(names.make(members[target.member].name, ".archive"));
  return files;
}

}  // namespace

const char* archive_class_name(ArchiveClass kind) {
  switch (kind) {
    case ArchiveClass::kSame:
      return "same";
    case ArchiveClass::kCast:
      return "cast";
    case ArchiveClass::kTransposed:
      return "transposed";
    case ArchiveClass::kQuantised:
      return "quantised";
    case ArchiveClass::kMoved:
      return "moved";
    case ArchiveClass::kStored:
      break;
  }
  return "stored";
}

ArchiveReport archive(const fs::path& bundle, const std::vector<std::string>& names,
                      const ArchiveOptions& options) try {
  std::optional<BundleEdit> edit;
  if (!options.dry_run) edit.emplace(bundle, "archive", options.wait);
  const Manifest manifest = edit ? edit->manifest() : load_manifest(bundle);
  const unsigned threads = thread_count(options.threads);
  ArchiveReport report;
  report.bytes_before = bundle_bytes(manifest, fs::file_size(bundle / kManifestName));
  const std::vector<Member> members =
      members_of(manifest, names.empty() ? possible_targets(manifest, report.left)
                                         : named_targets(manifest, names));
  const StoredFiles files(bundle, manifest);
  const std::vector<Role> roles =
      choose_bases(members, [&](const Extent& extent) { return files.bytes(extent); },
                   {.base = options.base,
                    .chain = options.chain,
                    .scan =
                        [&](const Member& member) {
                          return scan_model(bundle / manifest.models[*member.model].file);
                        },
                    .threads = threads,
                    .progress = options.progress});
  std::vector<Target> targets = choose_targets(members, roles, names.empty(), report.left);
  if (targets.empty()) {
    report.bytes_out = report.bytes_before;
    return report;
  }
  std::vector<std::string> file_names_of_targets = file_names(members, targets, bundle, manifest);
  std::optional<fs::path> folder;
  if (edit) folder = edit->staging();
  Archiver archiver(manifest, files, members, std::move(targets), std::move(file_names_of_targets),
                    folder, options);
  Manifest after = archiver.run();
  report.models = archiver.report();
  retire_files(manifest, after);
  report.unused_bytes = unused_bytes(after);
  report.bytes_out = bundle_bytes(after, to_json(after, threads).size());
  if (!edit) return report;
  if (options.progress) options.progress("committing", 0, 0);
  edit->publish(std::move(after), threads);
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
