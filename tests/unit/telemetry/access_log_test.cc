// Access-log lines: JSON whatever is in the strings, for every end, and lost rather than waited for on a full disk.
#include "nodeproxy/telemetry/access_log.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "nodeproxy/telemetry/record.h"

namespace weir::telemetry {
namespace {

namespace fs = std::filesystem;

fs::path fresh_file() {
  return fs::temp_directory_path() /
         ("weir-log-" + std::to_string(::getpid()) + "-" + std::to_string(std::rand()));
}

std::string read(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST_CASE("the end of a connection is one JSON line with reason, rule and bytes, escaped") {
  const fs::path path = fresh_file();
  {
    auto writer = LogWriter::open(path);
    REQUIRE(writer);
    Series series;
    AccessLog log(writer->get());
    Sink sink{series, log};
    Record record(std::chrono::steady_clock::time_point{});
    record.facts.source_pod = "shop/\"quoted\"\n\x01";
    record.facts.policy = "shop/deny";
    record.facts.rule = "no-client";
    record.sent_bytes = 7;
    record.end(sink, std::chrono::steady_clock::time_point{} + std::chrono::milliseconds(12),
               Error{Source::policy, Reason::denied, 0, {}});
    log.flush();
    CHECK(series.copy().at(0).failed[static_cast<size_t>(Reason::denied)] == 1);
  }
  const auto line = nlohmann::json::parse(read(path));
  CHECK(line["kind"] == "connection");
  CHECK(line["verdict"] == "failed");
  CHECK(line["reason"] == "denied");
  CHECK(line["policy"] == "shop/deny");
  CHECK(line["rule"] == "no-client");
  CHECK(line["bytes_sent"] == 7);
  CHECK(line["duration_ms"] == Approx(12));
  CHECK(line["source"]["pod"] == "shop/\"quoted\"\n\x01");
  fs::remove(path);
}

TEST_CASE("bytes of a connection that still lives are counted when they are published, once") {
  Series series;
  AccessLog log(nullptr);
  Sink sink{series, log};
  Record record(std::chrono::steady_clock::time_point{});
  record.opened(sink);
  record.sent_bytes = 100;
  record.publish_bytes();
  record.publish_bytes();
  CHECK(series.copy().at(0).sent_bytes == 100);
  record.sent_bytes = 150;
  record.end(sink, std::chrono::steady_clock::time_point{}, Error{Source::local, Reason::none, 0, {}});
  CHECK(series.copy().at(0).sent_bytes == 150);
  CHECK(series.copy().at(0).closed == 1);
}

TEST_CASE("a full disk costs lines, which are counted, and nothing else") {
  auto writer = LogWriter::open("/dev/full");
  REQUIRE(writer);
  (*writer)->submit("one\ntwo\n");
  for (int i = 0; i < 200 && (*writer)->dropped_lines() < 2; ++i) ::usleep(10'000);
  CHECK((*writer)->dropped_lines() == 2);
}

TEST_CASE("a log that is moved away is made anew on request") {
  const fs::path path = fresh_file();
  {
    auto writer = LogWriter::open(path);
    REQUIRE(writer);
    (*writer)->submit("before\n");
    for (int i = 0; i < 200 && read(path).empty(); ++i) ::usleep(10'000);
    fs::rename(path, path.string() + ".1");
    (*writer)->reopen();
    (*writer)->submit("after\n");
  }
  CHECK(read(path.string() + ".1") == "before\n");
  CHECK(read(path) == "after\n");
  fs::remove(path);
  fs::remove(path.string() + ".1");
}

TEST_CASE("a log that cannot be opened says which and why") {
  const auto writer = LogWriter::open("/nonexistent/access.log");
  REQUIRE_FALSE(writer);
  CHECK(writer.error().describe().find("/nonexistent/access.log") != std::string::npos);
}

}  // namespace
}  // namespace weir::telemetry
