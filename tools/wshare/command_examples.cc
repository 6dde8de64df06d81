#include "command_examples.h"

#include <algorithm>
#include <array>

namespace wshare {
namespace {

constexpr char kMake[] = "Make bundles";
constexpr char kLook[] = "Look into models and bundles";
constexpr char kRun[] = "Run sessions";
constexpr char kShip[] = "Ship bundles";
constexpr char kProgram[] = "This program";

constexpr std::array kDedupe = {"wshare dedupe encoder.onnx decoder.onnx -o bundle",
                                "wshare dedupe -r models -o bundle --explain",
                                "wshare dedupe old=v1/model.onnx new=v2/model.onnx -o bundle"};
constexpr std::array kAppend = {"wshare append bundle another.onnx"};
constexpr std::array kRemove = {"wshare remove bundle decoder", "wshare remove bundle --compact"};
constexpr std::array kArchive = {"wshare archive bundle v1 --dry-run",
                                 "wshare archive bundle v1 --base v2"};
constexpr std::array kThaw = {"wshare thaw bundle v1"};
constexpr std::array kRestore = {"wshare restore bundle -o originals",
                                 "wshare restore bundle decoder -o originals"};
constexpr std::array kVerify = {"wshare verify bundle"};
constexpr std::array kInspect = {"wshare inspect model.onnx", "wshare inspect -r models",
                                 "wshare inspect bundle --html report.html",
                                 "wshare inspect -r models --fail-on WS001,WS010"};
constexpr std::array kDoctor = {"wshare doctor bundle",
                                "wshare doctor models --target onnxruntime-1.24,openvino-2026.4"};
constexpr std::array kDiff = {"wshare diff base.onnx task.onnx",
                              "wshare diff old=v1/model.onnx new=v2/model.onnx"};
constexpr std::array kExtractLora = {
    "wshare extract-lora --base base.onnx task_a.onnx task_b.onnx -o bundle",
    "wshare extract-lora tasks --exact -o bundle"};
constexpr std::array kImportAdapter = {"wshare import-adapter bundle peft_folder --name task"};
constexpr std::array kPack = {"wshare pack bundle", "wshare pack bundle --shape ids=1x32 --summary",
                              "wshare pack bundle --prune"};
constexpr std::array kRunning = {
    "wshare run bundle --sessions 4 --baseline",
    "wshare run bundle --sessions 4 --baseline --summary",
    "wshare run bundle --against encoder=encoder.onnx --max-abs-diff 0",
    "wshare run bundle --shape ids=1x32 --max-pss 500M"};
constexpr std::array kExport = {"wshare export oci bundle layout:v1",
                                "wshare export triton bundle repository --instances 2",
                                "wshare export hf bundle folder --model task0"};
constexpr std::array kImport = {"wshare import oci layout:v1 -o bundle"};
constexpr std::array kCompletion = {
    "wshare completion bash >~/.local/share/bash-completion/completions/wshare"};
constexpr std::array kHelp = {"wshare help dedupe"};

constexpr std::array kAll = {
    CommandExamples{"dedupe", kMake, kDedupe},
    CommandExamples{"append", kMake, kAppend},
    CommandExamples{"remove", kMake, kRemove},
    CommandExamples{"archive", kMake, kArchive},
    CommandExamples{"thaw", kMake, kThaw},
    CommandExamples{"restore", kMake, kRestore},
    CommandExamples{"extract-lora", kMake, kExtractLora},
    CommandExamples{"import-adapter", kMake, kImportAdapter},
    CommandExamples{"verify", kLook, kVerify},
    CommandExamples{"inspect", kLook, kInspect},
    CommandExamples{"diff", kLook, kDiff},
    CommandExamples{"doctor", kLook, kDoctor},
    CommandExamples{"pack", kRun, kPack},
    CommandExamples{"run", kRun, kRunning},
    CommandExamples{"export", kShip, kExport},
    CommandExamples{"import", kShip, kImport},
    CommandExamples{"completion", kProgram, kCompletion},
    CommandExamples{"help", kProgram, kHelp},
};

const CommandExamples* find(const std::string& command) {
  const auto at = std::find_if(kAll.begin(), kAll.end(), [&](const CommandExamples& each) {
    return each.command == command;
  });
  return at == kAll.end() ? nullptr : &*at;
}

}  // namespace

std::string group_of(const std::string& command) {
  const CommandExamples* found = find(command);
  return found == nullptr ? "Commands" : found->group;
}

std::span<const char* const> examples_of(const std::string& command) {
  const CommandExamples* found = find(command);
  return found == nullptr ? std::span<const char* const>() : found->lines;
}

}  // namespace wshare
