#include "doctor/targets.h"

#include <array>
#include <vector>

// Measured with the wheels of PyPI, one model of each kind (docs/doctor.md):
// tests/interop/doctor.py asks those that are there again.

namespace wshare {
namespace {

struct Release {
  int minor;
  int64_t ir_version, opset;
};

constexpr std::array kReleases = {
    Release{20, 10, 21}, Release{21, 10, 22}, Release{22, 10, 22}, Release{23, 11, 23},
    Release{24, 13, 25}, Release{25, 13, 26}, Release{26, 13, 26}, Release{27, 13, 26},
    Release{28, 13, 26}, Release{29, 13, 26}, Release{30, 13, 26}, Release{31, 13, 26},
    Release{32, 14, 28},
};

std::vector<DoctorTarget> make_targets() {
  std::vector<DoctorTarget> targets;
  for (const Release& release : kReleases) {
    DoctorTarget& target = targets.emplace_back();
    target.name = "onnxruntime-1." + std::to_string(release.minor);
    target.place = release.minor < 24    ? DataPlace::kAnywhere
                   : release.minor == 24 ? DataPlace::kInFolder
                                         : DataPlace::kInEitherFolder;
    target.takes_absolute = release.minor < 24;
    target.takes_packs = release.minor >= 21;
    target.ir_version = release.ir_version;
    target.opset = release.opset;
  }
  DoctorTarget& onnx = targets.emplace_back();
  onnx.name = "onnx-1.23";
  onnx.place = DataPlace::kNoLink;
  onnx.ir_version = 14;
  onnx.takes_tasks = false;
  DoctorTarget& openvino = targets.emplace_back();
  openvino.name = "openvino-2026.4";
  openvino.place = DataPlace::kInFolder;
  openvino.takes_absolute = true;
  openvino.takes_tasks = false;
  return targets;
}

}  // namespace

std::span<const DoctorTarget> all_targets() {
  static const std::vector<DoctorTarget> targets = make_targets();
  return targets;
}

}  // namespace wshare
