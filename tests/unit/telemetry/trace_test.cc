// Trace ids: what the specifications allow is read, everything else names no trace.
#include "nodeproxy/telemetry/trace.h"

#include <catch2/catch.hpp>
#include <map>
#include <string>

namespace weir::telemetry {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736", kSpan = "00f067aa0ba902b7";

struct Fields {
  std::multimap<std::string, std::string, std::less<>> lines;
  size_t count(std::string_view name) const { return lines.count(name); }
  std::optional<std::string_view> get(std::string_view name) const {
    const auto found = lines.find(name);
    return found == lines.end() ? std::nullopt : std::optional<std::string_view>(found->second);
  }
};

TEST_CASE("the trace id of a valid traceparent is read, of later versions too") {
  CHECK(trace_of_traceparent("00-" + kTrace + "-" + kSpan + "-01").text() == kTrace);
  CHECK(trace_of_traceparent("cc-" + kTrace + "-" + kSpan + "-01").text() == kTrace);
  CHECK(trace_of_traceparent("cc-" + kTrace + "-" + kSpan + "-01-what-will-be").text() == kTrace);
}

TEST_CASE("a traceparent that breaks a rule names no trace") {
  const std::string good = "00-" + kTrace + "-" + kSpan + "-01";
  for (const std::string& bad :
       {std::string(), good.substr(0, 54), good + "-", good + "-00", "ff" + good.substr(2), good.substr(1),
        "0g" + good.substr(2), "00_" + good.substr(3), "00-" + std::string(32, '0') + "-" + kSpan + "-01",
        "00-" + kTrace + "-" + std::string(16, '0') + "-01", "00-" + kTrace + "-" + kSpan + "-0x",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + kSpan + "-01", "cc" + good.substr(2) + ".x", " " + good,
        "00-" + kTrace + "x" + kSpan + "-01", "00-" + kTrace + "-" + kSpan + "x01"}) {
    INFO(bad);
    CHECK(trace_of_traceparent(bad).empty());
  }
}

TEST_CASE("the trace id of B3 is read in its one-field form with every tail it may have") {
  for (const char* tail : {"", "-0", "-1", "-d", "-1-05e3ac9a4f6e3b90"}) {
    CHECK(trace_of_b3(kTrace + "-" + kSpan + tail).text() == kTrace);
  }
  CHECK(trace_of_b3(kSpan + "-" + kSpan).text() == kSpan);  // 64 bits
}

TEST_CASE("a B3 field that breaks a rule, or only decides about sampling, names no trace") {
  for (const std::string& bad :
       {std::string("0"), std::string("1"), std::string("d"), std::string(), kTrace, kTrace + "-",
        kTrace + "-" + kSpan + "-", kTrace + "-" + kSpan + "-2", kTrace + "-" + kSpan + "-1-",
        kTrace + "-" + kSpan + "-1-12", kTrace + "-" + kSpan + "1", kTrace + "-" + std::string(16, '0'),
        std::string(32, '0') + "-" + kSpan, kTrace.substr(1) + "-" + kSpan,
        "A" + kTrace.substr(1) + "-" + kSpan}) {
    INFO(bad);
    CHECK(trace_of_b3(bad).empty());
  }
  CHECK(trace_of_x_b3(kTrace, kSpan).text() == kTrace);
  CHECK(trace_of_x_b3(kTrace, "").empty());
  CHECK(trace_of_x_b3(kTrace + "0", kSpan).empty());
}

TEST_CASE("W3C goes before B3, and a field that came twice names no trace") {
  const std::string other = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  Fields fields{{{"traceparent", "00-" + kTrace + "-" + kSpan + "-01"}, {"b3", other + "-" + kSpan}}};
  CHECK(trace_of(fields).text() == kTrace);
  fields.lines.emplace("traceparent", "00-" + other + "-" + kSpan + "-01");
  CHECK(trace_of(fields).text() == other);
  fields.lines.emplace("b3", kTrace + "-" + kSpan);
  CHECK(trace_of(fields).empty());
  fields.lines.emplace("x-b3-traceid", kTrace);
  CHECK(trace_of(fields).empty());
  fields.lines.emplace("x-b3-spanid", kSpan);
  CHECK(trace_of(fields).text() == kTrace);
}

}  // namespace
}  // namespace weir::telemetry
