// Configuration from files: both forms, and errors that name the line.
#include "nodeproxy/config/source_file.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "nodeproxy/config/build.h"
#include "nodeproxy/config/mesh.pb.h"

using namespace weir;

namespace {

// A file that goes when the test ends.
struct File {
  File(const std::string& name, const std::string& text) {
    char made[] = "/tmp/weir-unit-XXXXXX";
    REQUIRE(::mkdtemp(made) != nullptr);
    directory = made;
    path = directory + "/" + name;
    std::ofstream(path) << text;
  }
  ~File() {
    ::unlink(path.c_str());
    ::rmdir(directory.c_str());
  }
  std::string directory, path;
};

std::string error_of(const File& file) {
  const auto update = config::load_file(file.path);
  REQUIRE_FALSE(update.has_value());
  CHECK(update.error().reason == Reason::bad_config);
  return update.error().detail ? *update.error().detail : "";
}

}  // namespace

TEST_CASE("a textproto with addresses as people write them starts the builder") {
  const File file("config.txtpb", R"(# A mesh of one.
changed { mesh { trust_domain: "cluster.local" node: "n1" } }
changed { workload { uid: "u1" addresses: "10.0.0.1" addresses: "fd00::1" } }
changed { service { name: "shop/web" addresses: "10.96.0.1" ports { port: 80 } } }
changed { endpoints { name: "e" service: "shop/web" ports { port: 8080 }
          endpoints { address: "10.0.0.1" workload: "u1" ready: true weight: 100 } } }
)");
  const auto update = config::load_file(file.path);
  REQUIRE(update.has_value());
  CHECK(update->full_state());
  config::Builder builder;
  const auto snapshot = builder.apply(*update);
  REQUIRE(snapshot.has_value());
  CHECK((*snapshot)->workload_at(*Ip::parse("fd00::1")) != nullptr);
  CHECK((*snapshot)->service_at(*Ip::parse("10.96.0.1"))->slices[0]->endpoints[0].address ==
        *Ip::parse("10.0.0.1"));
}

TEST_CASE("JSON is read as protobuf maps it, addresses in base64") {
  const File file("config.json", R"({"version": "3", "changed": [
    {"mesh": {"trustDomain": "cluster.local"}},
    {"workload": {"uid": "u1", "addresses": ["CgAAAQ=="], "mode": "STRICT", "portModes": {"80": "DISABLED"}}}]})");
  const auto update = config::load_file(file.path);
  REQUIRE(update.has_value());
  config::Builder builder;
  const auto snapshot = builder.apply(*update);
  REQUIRE(snapshot.has_value());
  CHECK((*snapshot)->workload_at(*Ip::parse("10.0.0.1"))->mode_of(80) == config::TlsMode::disabled);
}

TEST_CASE("an error names the file, the line and what is wrong") {
  struct Row {
    const char *name, *text, *line, *word;
  };
  for (const Row& row : {
           Row{"c.txtpb", "version: 1\n\nchanged { workload { uid: 7 } }\n", ":3:", "string"},
           Row{"c.txtpb", "version: 1\nchanged { workloads { } }\n", ":2:", "workloads"},
           Row{"c.txtpb", "version: 1\nchanged {\n", ":3:", ""},
           Row{"c.txtpb", "changed { policy {\n action: REFUSE } }\n", ":2:", "REFUSE"},
           Row{"c.json", "{\n  \"version\": 1,\n  \"changed\": [}\n}", ":3:", ""},
           Row{"c.json", "{\n \"changed\": [\n  {\"workload\": {\n    \"uuid\": \"x\"}}]}", ":4:", "uuid"},
       }) {
    CAPTURE(row.text);
    const File file(row.name, row.text);
    const std::string error = error_of(file);
    CAPTURE(error);
    CHECK(error.find(file.path + row.line) == 0);
    CHECK(error.find(row.word) != std::string::npos);
  }
}

TEST_CASE("a file that is not there, a directory and a name without a known end are errors") {
  CHECK(config::load_file("/nonexistent/config.txtpb").error().os_code == ENOENT);
  CHECK_FALSE(config::load_file("/tmp").has_value());
  const File yaml("config.yaml", "");
  CHECK(error_of(yaml).find(".txtpb") != std::string::npos);
}
