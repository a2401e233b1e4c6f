#pragma once
// The list of enrolled namespaces on the node's disk: what the plugin goes by while no agent answers.
//
//   weir enrolled-namespaces 1
//   - shop
//   - shop-test
//   end
//
// Concept: the agent replaces the file whole; a file without its last line, or with anything strange in it, is damaged,
// and then every namespace counts as enrolled: which pods are would be a guess. Owner: the agent writes, the plugin
// reads. Thread: any.
#include <set>
#include <string>
#include <string_view>

namespace weir::cni {

struct EnrolledFile {
  enum class State { read, absent, damaged };
  State state = State::absent;
  std::set<std::string> namespaces;
  std::string why;  // with damaged

  // Whether a pod of this namespace may need capture. Absent: Weir has never enrolled anybody on this node.
  bool may_be_enrolled(const std::string& ns) const {
    return state == State::damaged || (state == State::read && namespaces.contains(ns));
  }
};

std::string enrolled_text(const std::set<std::string>& namespaces);
EnrolledFile parse_enrolled(std::string_view text);
EnrolledFile read_enrolled(const std::string& path);

}  // namespace weir::cni
