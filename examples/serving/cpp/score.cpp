// Scores rows of text: score ARTIFACT < rows > predictions
//
//     c++ -std=c++17 -O2 score.cpp -I$FMC -L$FMC -Wl,-rpath,$FMC -lfmcompress -o score

#include "fmcompress.h"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// An artifact that is open. Threads may share it: scoring changes nothing.
class Model {
public:
    explicit Model(const std::string &path)
    {
        char message[FMC_MESSAGE_BYTES];
        fmc_model *opened;
        if (fmc_open(path.c_str(), 0, &opened, message)) throw std::runtime_error(message);
        model.reset(opened);
    }

    std::size_t ids() const { return fmc_id_count(model.get()); }
    std::size_t values() const { return fmc_value_count(model.get()); }

    // Predictions of rows: ids() numbers of each in `ids`, values() of each in `values`.
    std::vector<float> predict(const std::vector<std::int64_t> &ids, const std::vector<double> &values) const
    {
        char message[FMC_MESSAGE_BYTES];
        std::vector<float> predictions(ids.size() / this->ids());
        if (ids.size() != predictions.size() * this->ids() || values.size() != predictions.size() * this->values())
            throw std::invalid_argument("ids and values are not of whole rows");
        if (fmc_predict_i64(model.get(), ids.data(), values.data(), predictions.size(), 1, predictions.data(), message))
            throw std::runtime_error(message);
        return predictions;
    }

private:
    struct Close {
        void operator()(fmc_model *model) const { fmc_close(model); }
    };
    std::unique_ptr<fmc_model, Close> model;
};

// Reads the numbers of a line, and adds them to those of the rows before.
void read_row(std::string line, const Model &model, std::vector<std::int64_t> &ids, std::vector<double> &values)
{
    std::replace(line.begin(), line.end(), ',', ' ');
    std::istringstream words(line);
    std::string word; // std::stod reads "nan", which >> does not
    for (std::size_t id = 0; id < model.ids(); id++) {
        words >> word;
        ids.push_back(words ? std::stoll(word) : throw std::invalid_argument("too few"));
    }
    for (std::size_t value = 0; value < model.values(); value++) {
        words >> word;
        values.push_back(words ? std::stod(word) : throw std::invalid_argument("too few"));
    }
    if (words >> word) throw std::invalid_argument("too many");
}

int main(int count, char **arguments)
try {
    if (count != 2) throw std::invalid_argument("usage: score ARTIFACT < rows > predictions");
    constexpr std::size_t batch = 1024;
    const Model model(arguments[1]);
    std::vector<std::int64_t> ids;
    std::vector<double> values;
    const auto score = [&] {
        for (const float prediction : model.predict(ids, values)) std::printf("%.6f\n", prediction);
        ids.clear();
        values.clear();
    };
    std::string line;
    for (std::size_t row = 1; std::getline(std::cin, line); row++) {
        try {
            read_row(line, model, ids, values);
        } catch (const std::logic_error &) {
            throw std::invalid_argument("line " + std::to_string(row) + ": expected " + std::to_string(model.ids()) +
                                        " ids and " + std::to_string(model.values()) + " values");
        }
        if (ids.size() == batch * model.ids()) score();
    }
    score();
    return 0;
} catch (const std::exception &error) {
    std::cerr << "error: " << error.what() << '\n';
    return 2;
}
