// The agent's numbers in Prometheus' text.
#include "agent/metrics.h"

#include <catch2/catch.hpp>

using namespace weir::agent;

TEST_CASE("values are set, added and cleared by name and labels, and printed with type and help") {
  Metrics metrics("agent", agent_metrics());
  metrics.set("weir_capture_pods", 2, {{"state", "captured"}});
  metrics.add("weir_agent_certificates_total", 1, {{"result", "issued"}});
  metrics.add("weir_agent_certificates_total", 2, {{"result", "issued"}});
  CHECK(metrics.get("weir_agent_certificates_total", {{"result", "issued"}}) == 3);
  const std::string text = metrics.text();
  CHECK_THAT(text, Catch::Contains("weir_build_info{component=\"agent\""));
  CHECK_THAT(text, Catch::Contains("# TYPE weir_agent_certificates_total counter"));
  CHECK_THAT(text, Catch::Contains("weir_capture_pods{state=\"captured\"} 2"));
  metrics.clear("weir_capture_pods");
  CHECK_THAT(metrics.text(), !Catch::Contains("weir_capture_pods"));
  CHECK_THROWS_AS(metrics.set("weir_undescribed", 1), std::out_of_range);
}
