#pragma once

#include <optional>
#include <string>
#include <vector>

#include "run/limits.h"
#include "run/measure.h"

namespace CLI {
class App;
}

namespace wshare {

// Options that `run` and its children have in common, as the user wrote them.
struct InputArguments {
  std::vector<std::string> shapes;  // "input=1x32"
  std::string folder;
  unsigned sessions = 1;
  unsigned repeat = 5;
  unsigned shared_threads = 0;  // for all sessions; 0: one of its own for each
  bool shared_arena = false;
};
void add_input_options(CLI::App& app, InputArguments& arguments);

// Throws Error(kInvalid) if a shape cannot be read.
MeasureOptions measure_options(const InputArguments& arguments);

// Returns what shared sessions have in common.
EnvironmentOptions environment_options(const InputArguments& arguments);

// Where sessions run, as the user wrote it.
struct DeviceArguments {
  std::string ep = "cpu";
  std::string library;  // of the provider; empty: for cuda, beside ONNX Runtime's
  unsigned number = 0;  // of the provider's devices
  std::string copies = "refuse";
};
void add_device_options(CLI::App& app, DeviceArguments& arguments);

// Throws Error(kInvalid) if the options contradict each other.
void check_syntax(const DeviceArguments& arguments);

// Returns the device; none for the CPU. Throws the errors of Device::open().
std::optional<Device> open_device(const DeviceArguments& arguments);
DeviceCopies copies_of(const DeviceArguments& arguments);

struct LimitArguments {
  std::string pss, anonymous, device;  // sizes; empty: no limit
  std::optional<double> create_ms, abs_diff;
};
void add_limit_options(CLI::App& app, LimitArguments& arguments);

// Throws Error(kInvalid) if a limit is no size or no finite number from 0 on.
Limits read_limits(const LimitArguments& arguments);

}  // namespace wshare
