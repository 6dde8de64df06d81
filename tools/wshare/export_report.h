#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "wshare/export.h"
#include "wshare/export_hf.h"
#include "wshare/export_ort_package.h"

namespace wshare {

// What `wshare export` prints, for each of its kinds; `layout`, `repository`, `folder` and
// `package` as they were given.
nlohmann::ordered_json to_json(const ExportOciReport& report, const std::string& layout);
void print_report(std::ostream& out, const ExportOciReport& report, const std::string& layout,
                  const ExportOciOptions& options);

nlohmann::ordered_json to_json(const ExportTritonReport& report, const std::string& repository);
void print_report(std::ostream& out, const ExportTritonReport& report,
                  const std::string& repository, const ExportTritonOptions& options);

nlohmann::ordered_json to_json(const ExportHfReport& report, const std::string& folder);
void print_report(std::ostream& out, const ExportHfReport& report, const std::string& folder,
                  const ExportHfOptions& options);

nlohmann::ordered_json to_json(const ExportOrtPackageReport& report, const std::string& package);
void print_report(std::ostream& out, const ExportOrtPackageReport& report,
                  const std::string& package, const ExportOrtPackageOptions& options);

}  // namespace wshare
