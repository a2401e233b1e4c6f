#pragma once
// An agent for the plugin's tests: takes questions on a Unix socket in a thread of its own and does with each what the
// test says. Owner: the test. Lifetime: the socket's file goes with it.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "agent/cni/plugin.h"
#include "agent/cni/protocol.h"
#include "nodeproxy/base/fd.h"

namespace weir::cni {

struct TempDirectory {
  std::filesystem::path path;
  TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-cni-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TempDirectory() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
};

class FakeAgent {
 public:
  // What to send back for a question; empty: hang up without a word; "silent": keep the connection and say nothing.
  using Reply = std::function<std::string(const Question&)>;

  FakeAgent(const std::filesystem::path& socket, Reply reply) : reply_(std::move(reply)), path_(socket) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof(address.sun_path) - 1);
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeAgent() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    std::filesystem::remove(path_);
  }
  // After the plugin has returned.
  const std::vector<Question>& questions() const { return questions_; }

 private:
  void serve() {
    for (;;) {
      Fd peer(::accept(listener_.get(), nullptr, nullptr));
      if (!peer) return;
      std::string line;
      char c = 0;
      while (!line.ends_with('\n') && ::recv(peer.get(), &c, 1, 0) == 1) line += c;
      const auto question = read_question(line);
      if (!question) continue;
      questions_.push_back(*question);
      const std::string answer = reply_(*question);
      if (answer == "silent") {
        kept_.push_back(std::move(peer));
      } else if (!answer.empty()) {
        (void)::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      }
    }
  }

  Reply reply_;
  std::filesystem::path path_;
  Fd listener_;
  std::vector<Fd> kept_;
  std::vector<Question> questions_;
  std::thread thread_;
};

}  // namespace weir::cni
