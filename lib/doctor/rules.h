#pragma once

#include <string>
#include <vector>

#include "doctor/layout.h"
#include "doctor/targets.h"
#include "wshare/doctor.h"

namespace wshare {

// Appends to `findings` what stands against the file of `model` in `target`.
void check_layout(const std::string& model, const ModelLayout& layout, const DoctorTarget& target,
                  std::vector<Obstacle>& findings);

// The same of a pack, a task, and an archived model of a bundle.
void check_pack(const std::string& model, const DoctorTarget& target,
                std::vector<Obstacle>& findings);
void check_task(const std::string& task, const DoctorTarget& target,
                std::vector<Obstacle>& findings);
void check_archived(const std::string& model, const DoctorTarget& target,
                    std::vector<Obstacle>& findings);

}  // namespace wshare
