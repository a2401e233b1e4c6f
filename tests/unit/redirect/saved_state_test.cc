// What is on disk comes back as it was; one process at a time; damage is said, not guessed around.
#include "agent/redirect/saved_state.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>

using namespace weir;
using namespace weir::agent::redirect;

namespace {

struct Directory {
  std::filesystem::path path;
  Directory() {
    char pattern[] = "/tmp/weir-state-XXXXXX";
    REQUIRE(::mkdtemp(pattern));
    path = pattern;
  }
  ~Directory() { std::filesystem::remove_all(path); }
};

PodRecord example(uint32_t index) {
  return {.uid = "shop/cart-" + std::to_string(index),
          .netns_path = "/run/netns/cart",
          .netns_cookie = 0xffff'ffff'ffff'fff0 + index,
          .addresses = {*Ip::parse("10.0.0.1"), *Ip::parse("fd00::1")},
          .index = index,
          .port = 15001,
          .sysctls = {{"net/ipv4/tcp_fwmark_accept", "0"}, {"net/ipv4/tcp_migrate_req", "1"}}};
}

}  // namespace

TEST_CASE("a pod's record comes back as it was saved") {
  Directory directory;
  auto state = SavedState::open(directory.path);
  REQUIRE(state);
  for (uint32_t index : {0u, 7u}) REQUIRE(state->save_pod(example(index)));
  PodRecord changed = example(7);
  changed.addresses = {*Ip::parse("10.0.0.9")};
  REQUIRE(state->save_pod(changed));
  auto pods = state->load_pods();
  REQUIRE(pods);
  REQUIRE(pods->size() == 2);
  std::ranges::sort(*pods, {}, &PodRecord::index);
  const PodRecord &first = (*pods)[0], second = (*pods)[1], wanted = example(0);
  CHECK(first.uid == wanted.uid);
  CHECK(first.netns_path == wanted.netns_path);
  CHECK(first.netns_cookie == wanted.netns_cookie);
  CHECK(first.addresses == wanted.addresses);
  CHECK(first.port == wanted.port);
  REQUIRE(first.sysctls.size() == 2);
  CHECK(first.sysctls[1].name == "net/ipv4/tcp_migrate_req");
  CHECK(first.sysctls[1].value == "1");
  CHECK(second.addresses == changed.addresses);
  CHECK(second.outbound_slot() == 14);
  CHECK(second.inbound_slot() == 15);
  REQUIRE(state->erase_pod(example(0)));
  REQUIRE(state->erase_pod(example(0)));
  CHECK(state->load_pods()->size() == 1);
}

TEST_CASE("the node's record comes back, and erasing leaves nothing") {
  Directory directory;
  auto state = SavedState::open(directory.path);
  REQUIRE(state);
  CHECK_FALSE(state->load_node()->mounted_bpffs);
  REQUIRE(state->save_node({.made_directories = {"/a", "/a/b"}, .mounted_bpffs = true}));
  auto node = state->load_node();
  REQUIRE(node);
  CHECK(node->mounted_bpffs);
  CHECK(node->made_directories == std::vector<std::filesystem::path>{"/a", "/a/b"});
  REQUIRE(state->erase_all());
  CHECK(std::filesystem::is_empty(directory.path));
}

TEST_CASE("a second process is refused while the first holds the lock") {
  Directory directory;
  auto first = SavedState::open(directory.path);
  REQUIRE(first);
  CHECK_FALSE(SavedState::open(directory.path));
  {
    SavedState gone = std::move(*first);
  }
  CHECK(SavedState::open(directory.path));
}

TEST_CASE("records of an earlier boot are dropped, damaged ones are an error") {
  Directory directory;
  auto state = SavedState::open(directory.path);
  REQUIRE(state);
  auto file = directory.path / "redirect" / "pod-3.json";
  std::ofstream(file) << R"({"boot": "another", "uid": "old", "index": 3})";
  auto pods = state->load_pods();
  REQUIRE(pods);
  CHECK(pods->empty());
  CHECK_FALSE(std::filesystem::exists(file));
  std::ofstream(file) << "{\"boot\": ";
  CHECK_FALSE(state->load_pods());
}
