// Which state of which file counts, through good and bad times.
#include "agent/files/directory.h"

#include <catch2/catch.hpp>
#include <fstream>

using namespace weir::agent;

namespace {

struct Scratch {
  std::filesystem::path path;
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-files-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
  void remove(const std::string& name) const { std::filesystem::remove(path / name); }
};

std::string pod(const std::string& name, const std::string& node, const std::string& more = "") {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + more + "}\nspec: {nodeName: " + node +
         "}\n";
}

std::string node_of(const Directory& directory, const std::string& name) {
  const auto objects = directory.objects();
  const auto found = objects.pods.find({"default", name});
  return found == objects.pods.end() ? "none" : found->second.node;
}

}  // namespace

TEST_CASE("only finished YAML files count") {
  for (const std::string name : {"a.yaml", "b.yml"}) CHECK(Directory::counts(name));
  for (const std::string name : {".a.yaml.swp", ".a.yaml", "a.yaml~", "#a.yaml", "a.json", "", "yaml"}) {
    CAPTURE(name);
    CHECK_FALSE(Directory::counts(name));
  }
}

TEST_CASE("a file that goes bad keeps what it said last, and the error goes when it is good again") {
  const Scratch scratch;
  scratch.write("a.yaml", pod("a", "one"));
  scratch.write("b.yaml", pod("b", "one"));
  Directory directory(scratch.path);
  CHECK(directory.read_all());
  CHECK(directory.errors().empty());

  scratch.write("a.yaml",
                pod("a", "two") + pod("c", "two") + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: UP}\n");
  CHECK(directory.read({"a.yaml"}));
  CHECK(node_of(directory, "a") == "one");
  CHECK(node_of(directory, "c") == "none");
  REQUIRE(directory.errors().size() == 1);
  CHECK(directory.errors()[0].file == "a.yaml");
  CHECK(directory.errors()[0].line == 14);
  CHECK_FALSE(directory.read({"a.yaml"}));

  scratch.write("a.yaml", pod("a", "three"));
  CHECK(directory.read({"a.yaml"}));
  CHECK(node_of(directory, "a") == "three");
  CHECK(directory.errors().empty());
}

TEST_CASE("a file that is gone takes its objects along, good or bad") {
  const Scratch scratch;
  scratch.write("a.yaml", pod("a", "one"));
  Directory directory(scratch.path);
  directory.read_all();
  scratch.write("a.yaml", "a: [");
  directory.read({"a.yaml"});
  CHECK(node_of(directory, "a") == "one");
  scratch.remove("a.yaml");
  CHECK(directory.read({"a.yaml"}));
  CHECK(node_of(directory, "a") == "none");
  CHECK(directory.errors().empty());
}

TEST_CASE("an object that another file holds is refused until that file gives it up") {
  const Scratch scratch;
  scratch.write("b.yaml", pod("x", "of-b"));
  Directory directory(scratch.path);
  directory.read_all();
  scratch.write("a.yaml", pod("x", "of-a") + pod("y", "of-a"));
  CHECK(directory.read({"a.yaml"}));
  CHECK(node_of(directory, "x") == "of-b");
  CHECK(node_of(directory, "y") == "none");
  REQUIRE(directory.errors().size() == 1);
  CHECK_THAT(directory.errors()[0].text(), Catch::Contains("a.yaml: Pod default/x is already in b.yaml"));

  scratch.remove("b.yaml");
  CHECK(directory.read({"b.yaml"}));
  CHECK(node_of(directory, "x") == "of-a");
  CHECK(node_of(directory, "y") == "of-a");
  CHECK(directory.errors().empty());
}

TEST_CASE("an object moves from one file to another in one change, and two files may swap theirs") {
  const Scratch scratch;
  scratch.write("a.yaml", pod("x", "of-a"));
  scratch.write("b.yaml", pod("y", "of-b"));
  Directory directory(scratch.path);
  directory.read_all();
  scratch.write("a.yaml", pod("y", "of-a"));
  scratch.write("b.yaml", pod("x", "of-b"));
  CHECK(directory.read({"a.yaml", "b.yaml"}));
  CHECK(directory.errors().empty());
  CHECK(node_of(directory, "x") == "of-b");
  CHECK(node_of(directory, "y") == "of-a");
}

TEST_CASE("of two new files with one object the first by name stands") {
  const Scratch scratch;
  scratch.write("b.yaml", pod("x", "of-b"));
  scratch.write("a.yaml", pod("x", "of-a"));
  Directory directory(scratch.path);
  directory.read_all();
  CHECK(node_of(directory, "x") == "of-a");
  REQUIRE(directory.errors().size() == 1);
  CHECK(directory.errors()[0].file == "b.yaml");
}

TEST_CASE("two pods may not share a uid") {
  const Scratch scratch;
  scratch.write("a.yaml", pod("x", "one", ", uid: u1"));
  scratch.write("b.yaml", pod("y", "one", ", uid: u1"));
  Directory directory(scratch.path);
  directory.read_all();
  CHECK(node_of(directory, "y") == "none");
  REQUIRE(directory.errors().size() == 1);
  CHECK_THAT(directory.errors()[0].text(), Catch::Contains("pod uid u1 is already in a.yaml"));
}

TEST_CASE("a policy in a file that was never good counts as invalid; one that was good stays good") {
  const Scratch scratch;
  const std::string head =
      "---\napiVersion: weir.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: ";
  scratch.write("a.yaml", head + "{action: Deny, typo: 1}\n");
  Directory directory(scratch.path);
  directory.read_all();
  auto policies = directory.objects().authorization_policies;
  REQUIRE(policies.size() == 1);
  CHECK(policies.begin()->second.action == Action::deny);
  CHECK_FALSE(policies.begin()->second.invalid.empty());

  scratch.write("a.yaml", head + "{action: Deny}\n");
  directory.read({"a.yaml"});
  scratch.write("a.yaml", head + "{action: Deny, typo: 1}\n");
  directory.read({"a.yaml"});
  policies = directory.objects().authorization_policies;
  REQUIRE(policies.size() == 1);
  CHECK(policies.begin()->second.invalid.empty());
  CHECK(directory.errors().size() == 1);
}

TEST_CASE("a directory that cannot be read is an error, not an empty one") {
  const Scratch scratch;
  const auto moved = scratch.path / "source";
  std::filesystem::create_directory(moved);
  std::ofstream(moved / "a.yaml") << pod("a", "one");
  Directory directory(moved);
  directory.read_all();
  std::filesystem::remove_all(moved);
  CHECK(directory.read_all());
  CHECK(node_of(directory, "a") == "one");
  CHECK(directory.errors().size() == 1);
  CHECK_FALSE(directory.read_all());
  std::filesystem::create_directory(moved);
  CHECK(directory.read_all());
  CHECK(node_of(directory, "a") == "none");
  CHECK(directory.errors().empty());
}
