// Reading an Update from a file, with errors that name the line. See source_file.h.
#include "nodeproxy/config/source_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/base/limits.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::config {
namespace {

std::unexpected<Error> bad(const std::string& path, int line, std::string_view what) {
  const std::string place = line > 0 ? fmt::format("{}:{}", path, line) : path;
  return fail(Source::config, Reason::bad_config, fmt::format("{}: {}", place, what));
}

Result<std::string> read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(Source::config, "opening " + path, errno);
  std::string text;
  for (;;) {
    const size_t had = text.size();
    if (had > limits::config_message_max_bytes) return bad(path, 0, "is above the limit of a configuration");
    text.resize(had + 64 * 1024);
    const ssize_t got = ::read(fd.get(), text.data() + had, text.size() - had);
    if (got < 0) return fail_errno(Source::config, "reading " + path, errno);
    text.resize(had + static_cast<size_t>(got));
    if (got == 0) return text;
  }
}

// Keeps the first error; later ones are mostly its echo.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber, const std::string& message) override {
    if (!message_.empty()) return;
    line_ = line + 1;
    message_ = message;
  }
  int line() const { return line_; }
  const std::string& message() const { return message_; }

 private:
  int line_ = 0;
  std::string message_;
};

void address_from_text(std::string& address) {
  if (const auto parsed = Ip::parse(address)) address = parsed->to_wire();
}

// People write addresses as text, and text is never 4 or 16 bytes that mean something else in practice.
void addresses_from_text(mesh::v1::Update& update) {
  for (mesh::v1::Resource& resource : *update.mutable_changed()) {
    if (resource.has_workload())
      for (std::string& address : *resource.mutable_workload()->mutable_addresses())
        address_from_text(address);
    if (resource.has_service())
      for (std::string& address : *resource.mutable_service()->mutable_addresses())
        address_from_text(address);
    if (resource.has_endpoints())
      for (auto& endpoint : *resource.mutable_endpoints()->mutable_endpoints())
        address_from_text(*endpoint.mutable_address());
  }
}

int line_at(const std::string& text, size_t offset) {
  if (offset == std::string::npos) return 0;
  const auto end = text.begin() + static_cast<ptrdiff_t>(std::min(offset, text.size()));
  return 1 + static_cast<int>(std::count(text.begin(), end, '\n'));
}

// protobuf's JSON errors have no line. A syntax error quotes the text around it (of one or more lines), and then comes a
// line with a caret as many bytes in as the error is. An unknown field is named before ": Cannot find field."; its first
// appearance is the best guess there is.
int line_of_json_error(const std::string& text, const std::string& message) {
  const size_t first = message.find('\n'), last = message.rfind('\n');
  if (first < last && last != std::string::npos) {
    const size_t at = text.find(message.substr(first + 1, last - first - 1));
    if (at != std::string::npos) return line_at(text, at + message.size() - last - 2);
  }
  const size_t colon = message.rfind(": Cannot find field");
  if (colon == std::string::npos) return 0;
  const size_t space = message.rfind(' ', colon - 1);
  const size_t from = space == std::string::npos ? 0 : space + 1;
  return line_at(text, text.find('"' + message.substr(from, colon - from) + '"'));
}

}  // namespace

Result<mesh::v1::Update> load_file(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return std::unexpected(text.error());
  mesh::v1::Update update;
  if (path.ends_with(".txtpb")) {
    google::protobuf::TextFormat::Parser parser;
    FirstError error;
    parser.RecordErrorsTo(&error);
    if (!parser.ParseFromString(*text, &update)) return bad(path, error.line(), error.message());
    addresses_from_text(update);
  } else if (path.ends_with(".json")) {
    const auto status = google::protobuf::util::JsonStringToMessage(*text, &update);
    if (!status.ok()) {
      const std::string message(status.message());
      return bad(path, line_of_json_error(*text, message), message);
    }
  } else {
    return bad(path, 0, "its name must end in .txtpb (textproto) or .json");
  }
  update.set_full_state(true);
  return update;
}

}  // namespace weir::config
