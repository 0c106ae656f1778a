// SPDX-License-Identifier: Apache-2.0
// Serves the link: one request at a time, each answered from the buffer it came in.
#include "runtime/link.h"

#include <stdbool.h>
#include <string.h>

#include "port/kg_port.h"
#include "runtime/bytes.h"
#include "runtime/cobs.h"
#include "runtime/crc32.h"
#include "runtime/trainer.h"

// The build passes the version of the package.
#ifndef KG_VERSION
#define KG_VERSION "development"
#endif

#define HEADER_BYTES 4u
#define CRC_BYTES 4u
#define FRAME_BYTES (HEADER_BYTES + CRC_BYTES)  // of a frame without payload
#define ANSWER_BIT 0x80u

#define HELLO_ANSWER_BYTES 28u     // before the name
#define PROFILE_ANSWER_BYTES 4u    // before the cycles
#define KEPT_ANSWER_BYTES 4u       // before the layers
#define KEPT_TALLY_BYTES 16u       // of a layer
#define SMALLEST_BUFFER_BYTES 64u  // plus the logits

typedef struct {
    const kg_model_t *model;
    kg_training_t *training;
    uint8_t *frame;
    uint8_t *payload;  // of the request, then of its answer
    size_t bytes;      // of the payload
    size_t max_payload;
    uint16_t sequence;  // of the last accepted request
    bool greeted;       // a HELLO was accepted
} link_t;

// In 32 bits on every machine, so that the host twin sees the same wrap-around as a board.
static bool within(uint32_t offset, uint32_t count, uint32_t total) {
    return offset <= total && count <= total - offset;
}

static uint32_t state_bytes(const kg_model_t *model) {
    uint32_t total = 0;
    for (int32_t i = 0; i < model->state_count; i++) {
        total += (uint32_t)model->state[i].bytes;
    }
    return total;
}

static uint32_t step_count(const kg_model_t *model) {
    int32_t count = 0;
    for (int32_t phase = 0; phase < KG_PHASES; phase++) {
        count += model->phases[phase].count;
    }
    return (uint32_t)count;
}

// Copies count bytes between the state at offset and the buffer; the range was checked.
static void copy_state(const kg_model_t *model, size_t offset, uint8_t *buffer, size_t count,
                       bool write) {
    for (const kg_region_t *region = model->state; count > 0; region++) {
        if (offset >= region->bytes) {
            offset -= region->bytes;
            continue;
        }
        size_t part = count < region->bytes - offset ? count : region->bytes - offset;
        uint8_t *data = (uint8_t *)region->data + offset;
        memcpy(write ? data : buffer, write ? buffer : data, part);
        buffer += part;
        count -= part;
        offset = 0;
    }
}

// Handlers. On entry the payload is the request's; on success they leave the answer's payload and
// its size.

static kg_status_t hello(link_t *link) {
    const kg_model_t *model = link->model;
    uint8_t *answer = link->payload;
    bool same_version = answer[0] == KG_LINK_VERSION;
    kg_put_u32(answer, KG_LINK_VERSION);
    if (!same_version) {
        link->bytes = 1;
        return KG_ERROR_VERSION;
    }
    kg_put_u32(answer + 4, model->id);
    kg_put_u32(answer + 8, (uint32_t)model->input_bytes);
    kg_put_u32(answer + 12, state_bytes(model));
    kg_put_u32(answer + 16, (uint32_t)model->classes);
    kg_put_u32(answer + 20, step_count(model));
    kg_put_u32(answer + 24, (uint32_t)link->max_payload);
    link->bytes = HELLO_ANSWER_BYTES;
    for (const char *c = model->name; *c != '\0' && link->bytes < link->max_payload; c++) {
        answer[link->bytes++] = (uint8_t)*c;
    }
    return KG_OK;
}

static bool is_finite(uint32_t float_bits) {
    return (float_bits & 0x7f800000u) != 0x7f800000u;
}

static kg_status_t configure(link_t *link) {
    uint32_t seed = kg_get_u32(link->payload);
    uint32_t planned_updates = kg_get_u32(link->payload + 4);
    uint32_t batch = kg_get_u32(link->payload + 8);
    uint32_t rate_bits = kg_get_u32(link->payload + 12);
    uint32_t decay = kg_get_u32(link->payload + 16);
    if (batch == 0 || batch > INT32_MAX || !is_finite(rate_bits) || decay >= KG_DECAYS) {
        return KG_ERROR_RANGE;
    }
    float rate;
    memcpy(&rate, &rate_bits, sizeof rate);
    kg_trainer_configure(link->training, seed, planned_updates, (int32_t)batch, rate,
                         (kg_decay_t)decay);
    link->bytes = 0;
    return KG_OK;
}

static kg_status_t input(link_t *link) {
    uint32_t offset = kg_get_u32(link->payload);
    uint32_t count = (uint32_t)link->bytes - 4;
    if (!within(offset, count, (uint32_t)link->model->input_bytes)) {
        return KG_ERROR_RANGE;
    }
    memcpy((uint8_t *)link->model->input + offset, link->payload + 4, count);
    link->bytes = 0;
    return KG_OK;
}

typedef kg_status_t (*pass_t)(const kg_model_t *model, kg_training_t *training, int32_t label);

// Runs one sample with the label of the request, and answers its loss and class.
static kg_status_t run_sample(link_t *link, pass_t pass) {
    uint32_t label = kg_get_u32(link->payload);
    if (label >= (uint32_t)link->model->classes) {
        return KG_ERROR_RANGE;
    }
    kg_status_t status = pass(link->model, link->training, (int32_t)label);
    if (status == KG_OK) {
        kg_put_f32(link->payload, link->training->loss);
        kg_put_u32(link->payload + 4, (uint32_t)link->training->predicted);
        link->bytes = 8;
    }
    return status;
}

static kg_status_t train(link_t *link) {
    return link->training->batch == 0 ? KG_ERROR_RANGE : run_sample(link, kg_trainer_train);
}

static kg_status_t evaluate(link_t *link) {
    kg_status_t status = run_sample(link, kg_trainer_evaluate);
    if (status == KG_OK) {
        for (int32_t i = 0; i < link->model->classes; i++) {
            kg_put_f32(link->payload + link->bytes, link->model->logits[i]);
            link->bytes += 4;
        }
    }
    return status;
}

static kg_status_t read_state(link_t *link) {
    uint32_t offset = kg_get_u32(link->payload);
    uint32_t count = kg_get_u32(link->payload + 4);
    if (count > link->max_payload || !within(offset, count, state_bytes(link->model))) {
        return KG_ERROR_RANGE;
    }
    copy_state(link->model, offset, link->payload, count, false);
    link->bytes = count;
    return KG_OK;
}

static kg_status_t write_state(link_t *link) {
    uint32_t offset = kg_get_u32(link->payload);
    uint32_t count = (uint32_t)link->bytes - 4;
    if (!within(offset, count, state_bytes(link->model))) {
        return KG_ERROR_RANGE;
    }
    copy_state(link->model, offset, link->payload + 4, count, true);
    link->bytes = 0;
    return KG_OK;
}

static kg_status_t profile(link_t *link) {
    uint32_t first = kg_get_u32(link->payload);
    uint32_t count = kg_get_u32(link->payload + 4);
    size_t most = (link->max_payload - PROFILE_ANSWER_BYTES) / sizeof(uint64_t);
    if (count > most || !within(first, count, step_count(link->model))) {
        return KG_ERROR_RANGE;
    }
    kg_put_u32(link->payload, (uint32_t)kg_port_stack_peak());
    link->bytes = PROFILE_ANSWER_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        kg_put_u64(link->payload + link->bytes, link->model->step_cycles[first + i]);
        link->bytes += sizeof(uint64_t);
    }
    return KG_OK;
}

static kg_status_t reset_profile(link_t *link) {
    const kg_model_t *model = link->model;
    memset(model->step_cycles, 0, step_count(model) * sizeof(uint64_t));
    for (int32_t i = 0; i < model->tally_count; i++) {
        model->tallies[i] = (kg_kept_tally_t){0, 0};
    }
    link->bytes = 0;
    return KG_OK;
}

static kg_status_t output(link_t *link) {
    uint32_t offset = kg_get_u32(link->payload);
    uint32_t count = kg_get_u32(link->payload + 4);
    if (count > link->max_payload || !within(offset, count, (uint32_t)link->model->output_bytes)) {
        return KG_ERROR_RANGE;
    }
    memcpy(link->payload, (const uint8_t *)link->model->output + offset, count);
    link->bytes = count;
    return KG_OK;
}

static kg_status_t kept(link_t *link) {
    uint32_t first = kg_get_u32(link->payload);
    uint32_t count = (uint32_t)link->model->tally_count;
    if (first > count) {
        return KG_ERROR_RANGE;
    }
    kg_put_u32(link->payload, count);
    link->bytes = KEPT_ANSWER_BYTES;
    const kg_kept_tally_t *tally = link->model->tallies + first;
    for (; first < count && link->max_payload - link->bytes >= KEPT_TALLY_BYTES; first++, tally++) {
        kg_put_u64(link->payload + link->bytes, tally->kept);
        kg_put_u64(link->payload + link->bytes + 8, tally->rows);
        link->bytes += KEPT_TALLY_BYTES;
    }
    return KG_OK;
}

typedef struct {
    kg_status_t (*run)(link_t *link);
    uint8_t bytes;  // of the payload
    bool open;      // more bytes may follow
} handler_t;

static const handler_t handlers[] = {
    [KG_LINK_HELLO] = {hello, 1, true},  // a later version may say more
    [KG_LINK_CONFIGURE] = {configure, 20, false},
    [KG_LINK_INPUT] = {input, 4, true},
    [KG_LINK_TRAIN] = {train, 4, false},
    [KG_LINK_EVALUATE] = {evaluate, 4, false},
    [KG_LINK_READ] = {read_state, 8, false},
    [KG_LINK_WRITE] = {write_state, 4, true},
    [KG_LINK_PROFILE] = {profile, 8, false},
    [KG_LINK_RESET_PROFILE] = {reset_profile, 0, false},
    [KG_LINK_OUTPUT] = {output, 8, false},
    [KG_LINK_KEPT] = {kept, 4, false},
};

static kg_status_t dispatch(link_t *link, uint8_t kind, uint8_t flags) {
    if (kind >= sizeof handlers / sizeof handlers[0] || handlers[kind].run == NULL || flags != 0) {
        return KG_ERROR_REQUEST;
    }
    const handler_t *handler = &handlers[kind];
    if (link->bytes < handler->bytes || (link->bytes > handler->bytes && !handler->open)) {
        return KG_ERROR_REQUEST;
    }
    return handler->run(link);
}

static void answer(link_t *link, uint8_t kind, kg_status_t status, uint16_t sequence) {
    static const uint8_t delimiter = 0;
    if (status != KG_OK && status != KG_ERROR_VERSION) {
        link->bytes = 0;
    }
    size_t bytes = HEADER_BYTES + link->bytes;
    link->frame[0] = (uint8_t)(kind | ANSWER_BIT);
    link->frame[1] = (uint8_t)status;
    kg_put_u16(link->frame + 2, sequence);
    kg_put_u32(link->frame + bytes, kg_crc32(0, link->frame, bytes));
    kg_port_write(&delimiter, 1);
    kg_cobs_encode(link->frame, bytes + CRC_BYTES, kg_port_write);
    kg_port_write(&delimiter, 1);
}

// Runs an intact request if it is in turn.
static kg_status_t run_request(link_t *link, uint8_t kind, uint8_t flags, uint16_t sequence) {
    bool in_turn = link->greeted && sequence == (uint16_t)(link->sequence + 1u);
    if (kind != KG_LINK_HELLO && !in_turn) {
        return KG_ERROR_SEQUENCE;
    }
    kg_status_t status = dispatch(link, kind, flags);
    if (kind != KG_LINK_HELLO || status == KG_OK) {
        link->sequence = sequence;
        link->greeted = true;
    }
    return status;
}

static bool intact(const uint8_t *frame, size_t bytes) {
    return bytes >= FRAME_BYTES &&
           kg_crc32(0, frame, bytes - CRC_BYTES) == kg_get_u32(frame + bytes - CRC_BYTES);
}

static void receive(link_t *link, size_t frame_bytes) {
    if (!intact(link->frame, frame_bytes)) {
        answer(link, 0, KG_ERROR_FRAME, 0);
        return;
    }
    uint8_t kind = link->frame[0];
    uint16_t sequence = kg_get_u16(link->frame + 2);
    link->bytes = frame_bytes - FRAME_BYTES;
    answer(link, kind, run_request(link, kind, link->frame[1], sequence), sequence);
}

// Byte by byte: a strlen would need a C library.
static void print(const char *text) {
    for (; *text != '\0'; text++) {
        kg_port_write((const uint8_t *)text, 1);
    }
}

void kg_link_serve(const kg_model_t *model, kg_training_t *training, uint8_t *buffer,
                   size_t buffer_bytes) {
    KG_ASSERT(buffer_bytes >= SMALLEST_BUFFER_BYTES + sizeof(float) * (size_t)model->classes);
    link_t link = {
        .model = model,
        .training = training,
        .frame = buffer,
        .payload = buffer + HEADER_BYTES,
        .max_payload = buffer_bytes - FRAME_BYTES,
    };
    kg_cobs_decoder_t decoder = {.buffer = buffer, .capacity = buffer_bytes};
    print("kilograd ");
    print(model->name);
    print(" " KG_VERSION " ready\n");
    for (int byte = kg_port_read(); byte >= 0; byte = kg_port_read()) {
        kg_cobs_result_t result = kg_cobs_feed(&decoder, (uint8_t)byte);
        if (result != KG_COBS_MORE) {
            receive(&link, result == KG_COBS_FRAME ? decoder.size : 0);
            kg_cobs_next(&decoder);
        }
    }
}
