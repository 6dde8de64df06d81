#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "wshare/progress.h"

namespace wshare {

struct DoctorOptions {
  std::vector<std::string> targets;  // of doctor_targets(); none: all
  bool recursive = false;            // ResolveOptions::recursive
  unsigned threads = 0;              // 0: all cores
  ProgressFn progress;
};

// What stands against a model in one program that reads models.
struct Obstacle {
  std::string id;     // of a rule: docs/doctor.md
  std::string model;  // or the task
  std::string target;
  std::string message;
  std::string remedy;
};

struct DoctorReport {
  std::vector<std::string> targets;   // that were asked about
  std::vector<std::string> models;    // that were looked at, packs and tasks of a bundle, too
  std::vector<std::string> left_out;  // of given folders, and why; as resolve_inputs() says it
  std::vector<Obstacle> findings;     // by model, then by id, then by target
};

// Returns the names of all programs that rules are known of: "onnxruntime-1.20", ..., "onnx-1.23",
// "openvino-2026.4".
std::vector<std::string> doctor_targets();

// Says which programs open what `paths` name, models as in resolve_inputs() or bundles, as it lies
// on this disk: links, missing files, versions. Weights are not read, and no program is run.
//
// Throws what resolve_inputs() throws, Error(kInvalid) if there is no such target or a file is no
// model, Error(kIo) if one cannot be read. Source: docs/doctor.md, measured.
DoctorReport doctor(const std::vector<std::string>& paths, const DoctorOptions& options);

}  // namespace wshare
