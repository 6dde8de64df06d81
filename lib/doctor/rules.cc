#include "doctor/rules.h"

#include "util/text.h"

// Ids stay as they are: pipelines name them. docs/doctor.md has a section for each.

namespace wshare {
namespace {

class Rules {
 public:
  Rules(const std::string& model, const DoctorTarget& target, std::vector<Obstacle>& findings)
      : model_(model), target_(target), findings_(findings) {}

  void check_versions(const ModelLayout& layout) {
    if (layout.ir_version > target_.ir_version) {
      add("WD001",
          "has IR version " + std::to_string(layout.ir_version) + ", " +
              std::to_string(target_.ir_version) + " is the newest it knows",
          "export for an older ONNX, or set ir_version where the operators are old enough");
    }
    if (layout.opset > target_.opset) {
      add("WD002",
          "has opset " + std::to_string(layout.opset) + ", " + std::to_string(target_.opset) +
              " is the newest it knows",
          "export with a lower opset, or onnx.version_converter");
    }
  }

  void check_data(const ModelLayout& layout, const DataFile& file) {
    const std::string name = in_quotes(file.location);
    if (file.is_absolute && !target_.takes_absolute) {
      return add("WD003", "external data at the absolute path " + name,
                 "'wshare dedupe' makes a bundle whose files lie beside each other");
    }
    if (!file.exists) {
      return add("WD004", "external data " + name + " is not there",
                 layout.is_link ? "the model is a link: link its data, too, or the folder"
                                : "bring it along: a model and its data travel together");
    }
    if (file.size < file.needed) {
      return add("WD005",
                 "external data " + name + " has " + std::to_string(file.size) + " bytes, " +
                     std::to_string(file.needed) + " are needed",
                 "it was cut short: fetch it again; in a bundle, 'wshare verify' lists all damage");
    }
    check_place(name, file);
  }

  void add(const char* id, std::string message, std::string remedy) {
    findings_.push_back({id, model_, target_.name, std::move(message), std::move(remedy)});
  }

 private:
  void check_place(const std::string& name, const DataFile& file) {
    if (target_.place == DataPlace::kAnywhere) return;
    const bool is_near =
        file.in_folder || (target_.place == DataPlace::kInEitherFolder && file.beside_target);
    if (file.leads_out || (!is_near && !file.is_link)) {
      return add("WD006", "external data " + name + " lies outside of the model's folder",
                 "'wshare dedupe' makes a bundle whose files lie beside each other");
    }
    const bool refuses_links = target_.place == DataPlace::kNoLink;
    if (!is_near || (refuses_links && file.is_link)) {
      return add("WD007",
                 "external data " + name +
                     (is_near ? " is a link" : " is a link that leads out of the folder"),
                 "link the folder instead, or copy the file");
    }
    if (refuses_links && file.names > 1) {
      add("WD008", "external data " + name + " has " + std::to_string(file.names) + " hard links",
          "copy the file instead of linking it");
    }
  }

  const std::string& model_;
  const DoctorTarget& target_;
  std::vector<Obstacle>& findings_;
};

}  // namespace

void check_layout(const std::string& model, const ModelLayout& layout, const DoctorTarget& target,
                  std::vector<Obstacle>& findings) {
  Rules rules(model, target, findings);
  rules.check_versions(layout);
  for (const DataFile& file : layout.data) rules.check_data(layout, file);
}

void check_pack(const std::string& model, const DoctorTarget& target,
                std::vector<Obstacle>& findings) {
  if (target.takes_packs) return;
  Rules(model, target, findings)
      .add("WD009", "is a pack, whose prepacked weights it does not know",
           "the model itself opens; packs need ONNX Runtime 1.21");
}

void check_task(const std::string& task, const DoctorTarget& target,
                std::vector<Obstacle>& findings) {
  if (target.takes_tasks) return;
  Rules(task, target, findings)
      .add("WD010", "is an adapter, which only ONNX Runtime applies",
           "'wshare restore' gives the whole model of the task");
}

void check_archived(const std::string& model, const DoctorTarget& target,
                    std::vector<Obstacle>& findings) {
  Rules(model, target, findings)
      .add("WD011", "is archived: there is no file to open",
           "'wshare thaw' makes it a model again");
}

}  // namespace wshare
