#include "wshare/doctor.h"

#include <algorithm>
#include <atomic>
#include <tuple>

#include "doctor/layout.h"
#include "doctor/rules.h"
#include "doctor/targets.h"
#include "format/is_bundle.h"
#include "format/manifest/text.h"
#include "util/parallel.h"
#include "util/suggest.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/models.h"

namespace fs = std::filesystem;

// names ─► files ─ what each is and where its data lies ─ rules of each target ─► findings

namespace wshare {
namespace {

// One thing that somebody may want to open.
struct Subject {
  enum class Kind { kModel, kPack, kTask, kArchived };
  Kind kind = Kind::kModel;
  std::string name;
  fs::path path;  // of a model or pack
};

void add_bundle(const fs::path& bundle, std::vector<Subject>& subjects) {
  const Manifest manifest = load_manifest(bundle);
  for (const ModelRecord& model : manifest.models)
    subjects.push_back({Subject::Kind::kModel, model.name, bundle / model.file});
  for (const PackRecord& pack : manifest.packs) {
    subjects.push_back({Subject::Kind::kPack, pack.model.name + " (pack: " + pack.model.file + ")",
                        bundle / pack.model.file});
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (task.adapter) subjects.push_back({Subject::Kind::kTask, task.name, {}});
  }
  for (const ArchivedRecord& model : manifest.archived)
    subjects.push_back({Subject::Kind::kArchived, model.name, {}});
}

std::vector<Subject> find_subjects(const std::vector<std::string>& paths, bool recursive,
                                   std::vector<std::string>& left_out) {
  std::vector<Subject> subjects;
  std::vector<std::string> models;
  for (const std::string& path : paths) {
    if (is_bundle(path))
      add_bundle(path, subjects);
    else
      models.push_back(path);
  }
  if (models.empty()) return subjects;
  for (const ModelInput& input : resolve_inputs(models, {recursive, &left_out}))
    subjects.push_back({Subject::Kind::kModel, input.name, input.path});
  return subjects;
}

std::vector<DoctorTarget> find_targets(const std::vector<std::string>& names) {
  std::vector<DoctorTarget> targets;
  for (const std::string& name : names) {
    const auto all = all_targets();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const DoctorTarget& each) { return each.name == name; });
    if (found == all.end()) {
      throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no program that rules are known of",
                  hint_of_names(name, doctor_targets()));
    }
    targets.push_back(*found);
  }
  if (targets.empty()) targets.assign(all_targets().begin(), all_targets().end());
  return targets;
}

std::vector<Obstacle> check(const Subject& subject, const std::vector<DoctorTarget>& targets) {
  std::vector<Obstacle> findings;
  ModelLayout layout;
  if (!subject.path.empty()) layout = look_at(subject.path);
  for (const DoctorTarget& target : targets) {
    switch (subject.kind) {
      case Subject::Kind::kPack:
        check_pack(subject.name, target, findings);
        [[fallthrough]];
      case Subject::Kind::kModel:
        check_layout(subject.name, layout, target, findings);
        break;
      case Subject::Kind::kTask:
        check_task(subject.name, target, findings);
        break;
      case Subject::Kind::kArchived:
        check_archived(subject.name, target, findings);
        break;
    }
  }
  std::stable_sort(findings.begin(), findings.end(), [](const Obstacle& a, const Obstacle& b) {
    return std::tie(a.id, a.message) < std::tie(b.id, b.message);
  });
  return findings;
}

}  // namespace

std::vector<std::string> doctor_targets() {
  std::vector<std::string> names;
  for (const DoctorTarget& target : all_targets()) names.push_back(target.name);
  return names;
}

DoctorReport doctor(const std::vector<std::string>& paths, const DoctorOptions& options) try {
  const std::vector<DoctorTarget> targets = find_targets(options.targets);
  DoctorReport report;
  for (const DoctorTarget& target : targets) report.targets.push_back(target.name);
  const std::vector<Subject> subjects = find_subjects(paths, options.recursive, report.left_out);
  std::vector<std::vector<Obstacle>> found(subjects.size());
  std::atomic<uint64_t> done = 0;
  parallel_for(subjects.size(), thread_count(options.threads), [&](size_t i) {
    found[i] = check(subjects[i], targets);
    if (options.progress) options.progress("looking", ++done, subjects.size());
  });
  for (size_t i = 0; i < subjects.size(); ++i) {
    report.models.push_back(subjects[i].name);
    report.findings.insert(report.findings.end(), found[i].begin(), found[i].end());
  }
  return report;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
