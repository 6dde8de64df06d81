#include <wshare/dedupe.h>
#include <wshare/models.h>
#include <wshare/verify.h>

#include <iostream>

// dedupe_and_verify MODELS BUNDLE: exits 0 if the bundle is smaller than the models and nothing is
// wrong with it.
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const wshare::DedupeReport report =
      wshare::dedupe(wshare::resolve_inputs({argv[1]}), argv[2], {});
  const std::vector<wshare::Damage> findings = wshare::verify(argv[2], {0});
  for (const wshare::Damage& finding : findings) std::cerr << finding.message << "\n";
  std::cout << report.bytes_in << " -> " << report.bytes_out << " bytes\n";
  return findings.empty() && report.bytes_out < report.bytes_in ? 0 : 1;
}
