// Load the model, run its test vectors, then one inference.
#include <algorithm>
#include <cmath>

#include "dl_model_base.hpp"
#include "esp_log.h"

extern const uint8_t model_espdl[] asm("_binary_model_espdl_start");

static const char *TAG = "quaint";

// real = integer * 2^exponent; the rounding of ties is the chip's own.
static int8_t quantized(float real, int exponent)
{
    const float scaled = std::nearbyint(std::ldexp(real, -exponent));
    return static_cast<int8_t>(std::clamp(scaled, -128.0f, 127.0f));
}

extern "C" void app_main(void)
{
    dl::Model model(reinterpret_cast<const char *>(model_espdl), fbs::MODEL_LOCATION_IN_FLASH_RODATA);
    if (model.test() != ESP_OK) {
        ESP_LOGE(TAG, "the board's integers differ from the PC's");
        return;
    }
    ESP_LOGI(TAG, "the board's integers are those of the PC");
    model.profile();

    dl::TensorBase *input = model.get_inputs().begin()->second;
    int8_t *pixels = static_cast<int8_t *>(input->data);
    std::fill_n(pixels, input->get_size(), quantized(0.5f, input->exponent));  // your image goes here, channel last
    model.run();

    for (auto &[name, output] : model.get_outputs()) {
        const int8_t *scores = static_cast<const int8_t *>(output->data);
        const int8_t *best = std::max_element(scores, scores + output->get_size());
        ESP_LOGI(TAG, "%s: class %d, score %g", name.c_str(), static_cast<int>(best - scores),
                 std::ldexp(static_cast<float>(*best), output->exponent));
    }
}
