#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compare/transformer.h"
#include "support/cli_test.h"
#include "wshare/extract_lora.h"
#include "wshare/restore.h"

namespace wshare::test {

// A test that makes a bundle of the task models in "in" and looks at what comes back of them.
class ExtractTest : public CliTest {
 protected:
  static constexpr int kLayers = 2;

  ExtractReport extract(const std::vector<std::string>& tasks, const std::string& base,
                        const std::function<void(ExtractOptions&)>& set = {}) {
    ExtractOptions options;
    if (!base.empty()) options.base = path("in/" + base);
    if (set) set(options);
    return extract_lora(inputs(tasks), temp_ / "bundle", options);
  }

  // Expects the bundle to verify and to give `files` back byte for byte.
  void expect_whole(const std::vector<std::string>& files) {
    expect_sound();
    for (const RestoredModel& model : restore(temp_ / "bundle", {}, temp_ / "back", {})) {
      EXPECT_TRUE(model.identical) << model.name;
    }
    for (const std::string& file : files) {
      EXPECT_TRUE(read_file(temp_ / ("back/" + file)) == read_file(temp_ / ("in/" + file))) << file;
    }
  }

  void forget() {
    fs::remove_all(temp_ / "bundle");
    fs::remove_all(temp_ / "back");
  }

  // Adds "base.onnx" and, merged into each of `modules`, an update of rank `rank`, "task.onnx".
  void add_merged(const std::vector<std::string>& modules, int64_t rank, Export exported = {},
                  Export exported_base = {}) {
    const Weights base = encoder_weights(kLayers, 7);
    Weights task = base;
    uint64_t seed = 1000;
    for (const std::string& module : modules) {
      Matrix& weight = task.at(module);
      weight = sum(weight, low_rank(weight.rows, weight.cols, rank, seed += 10));
    }
    add("base.onnx", cast_to_float(export_encoder(base, kLayers, exported_base).model));
    exported.first_number += 3;
    add("task.onnx", cast_to_float(export_encoder(task, kLayers, exported).model));
  }

  static onnx::ModelProto cast_to_float(onnx::ModelProto model) {
    for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) {
      if (node.op_type() != "Cast") continue;
      *node.add_attribute() = integer("to", Proto::FLOAT);
    }
    return model;
  }
};

}  // namespace wshare::test
