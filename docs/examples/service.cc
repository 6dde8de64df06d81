// A small HTTP service over a bundle: service BUNDLE [PORT]. It listens on the loopback interface
// and says where.
//
//   GET  /              models, and tasks over each: one "MODEL" or "MODEL/TASK" a line
//   POST /MODEL[/TASK]  runs it. The request holds the bytes of the inputs, one after another, with
//                       1 for each free dimension; the answer those of the first output
//   POST /reload        takes what `wshare append` and `wshare remove` have changed since
#include <httplib.h>
#include <wshare/error.h>
#include <wshare/runtime.h>

#include <cstring>
#include <iostream>
#include <map>
#include <mutex>

// One session for each model, which all workers run at once; made when it is first asked for.
class Pool {
 public:
  explicit Pool(const char* folder) : bundle_(wshare::Bundle::open(folder)) {}

  std::string names() {
    std::string lines;
    for (const std::string& model : bundle_.models()) {
      lines += model + '\n';
      for (const std::string& task : session(model).tasks()) lines += model + '/' + task + '\n';
    }
    return lines;
  }

  // A copy, which is the same session: it lives as long as anybody runs it.
  wshare::TaskSession session(const std::string& model) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = sessions_.find(model);
      if (found != sessions_.end()) return found->second;
    }
    wshare::TaskSession made = bundle_.task_session(model);  // others are served meanwhile
    const std::lock_guard lock(mutex_);
    return sessions_.emplace(model, std::move(made)).first->second;
  }

  // A task that came may need a base with more inputs. So there are new sessions, over the weights
  // of those before, which end with their last run.
  void reload() {
    if (!bundle_.reload()) return;
    std::map<std::string, wshare::TaskSession> sessions;
    for (const std::string& model : bundle_.models())
      sessions.emplace(model, bundle_.task_session(model));
    const std::lock_guard lock(mutex_);
    sessions_.swap(sessions);
  }

 private:
  wshare::Bundle bundle_;
  std::mutex mutex_;
  std::map<std::string, wshare::TaskSession> sessions_;  // guarded by mutex_
};

static std::vector<Ort::Value> read_inputs(Ort::Session& session, const std::string& bytes) {
  const Ort::AllocatorWithDefaultOptions heap;
  std::vector<Ort::Value> inputs;
  size_t at = 0;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    const Ort::TypeInfo type = session.GetInputTypeInfo(i);
    const auto tensor = type.GetTensorTypeAndShapeInfo();
    std::vector<int64_t> shape = tensor.GetShape();
    for (int64_t& dim : shape) dim = dim < 0 ? 1 : dim;
    Ort::Value& input = inputs.emplace_back(
        Ort::Value::CreateTensor(heap, shape.data(), shape.size(), tensor.GetElementType()));
    const size_t size = input.GetTensorSizeInBytes();
    if (bytes.size() - at < size) throw std::invalid_argument("the request has too few bytes");
    std::memcpy(input.GetTensorMutableRawData(), bytes.data() + at, size);
    at += size;
  }
  if (at != bytes.size()) throw std::invalid_argument("the request has too many bytes");
  return inputs;
}

static std::string answer(wshare::TaskSession session, const std::string& task,
                          const std::string& request) {
  const std::vector<std::string> names = session.session().GetInputNames();
  const std::string output = session.session().GetOutputNames().at(0);
  std::vector<const char*> input_names;
  for (const std::string& name : names) input_names.push_back(name.c_str());
  const char* output_name = output.c_str();
  const std::vector<Ort::Value> inputs = read_inputs(session.session(), request);
  const std::vector<Ort::Value> outputs =
      session.run(task, input_names.data(), inputs.data(), inputs.size(), &output_name, 1);
  return {static_cast<const char*>(outputs[0].GetTensorRawData()),
          outputs[0].GetTensorSizeInBytes()};
}

// Answers with what `body` returns, or with what it throws.
template <typename Body>
static void respond(httplib::Response& response, const Body& body) {
  try {
    response.set_content(body(), "application/octet-stream");
  } catch (const wshare::Error& error) {
    response.status = error.code() == wshare::ErrorCode::kInvalid ? 404 : 500;
    response.set_content(std::string(error.what()) + '\n' + error.hint() + '\n', "text/plain");
  } catch (const std::exception& error) {
    response.status = 400;
    response.set_content(std::string(error.what()) + '\n', "text/plain");
  }
}

int main(int argc, char** argv) try {
  if (argc != 2 && argc != 3) return std::cerr << "usage: service BUNDLE [PORT]\n", 2;
  wshare::set_up_environment({wshare::SharedThreads{2}, true});  // for all sessions together
  Pool pool(argv[1]);
  httplib::Server server;
  server.new_task_queue = [] { return new httplib::ThreadPool(8); };
  server.Get("/", [&](const httplib::Request&, httplib::Response& response) {
    respond(response, [&] { return pool.names(); });
  });
  server.Post("/reload", [&](const httplib::Request&, httplib::Response& response) {
    respond(response, [&] { return pool.reload(), std::string("done\n"); });
  });
  server.Post("/([^/]+)(?:/([^/]+))?",
              [&](const httplib::Request& request, httplib::Response& response) {
                respond(response, [&] {
                  return answer(pool.session(request.matches[1]), request.matches[2], request.body);
                });
              });
  const int port = argc == 3 ? std::stoi(argv[2]) : 0;
  const int bound = port > 0 ? (server.bind_to_port("127.0.0.1", port) ? port : -1)
                             : server.bind_to_any_port("127.0.0.1");
  if (bound < 0) return std::cerr << "the port is taken\n", 1;
  std::cout << "http://127.0.0.1:" << bound << std::endl;
  return server.listen_after_bind() ? 0 : 1;
} catch (const wshare::Error& error) {
  return std::cerr << error.what() << "\nhint: " << error.hint() << '\n', 1;
}
