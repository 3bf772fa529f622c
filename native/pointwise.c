/*
 * Groups of element-wise layers between products, computed together: the forward pass, the sums that batch norm's gradient
 * needs, and the gradients of the group's inputs. A block of values goes through all members while it is in the first-level
 * cache; the backward pass recomputes the members' values from the group's inputs, which is cheaper than keeping them.
 * Members and their formulas are those of the reference engine (src/engines/tfjs/layers.ts, straightThrough.ts).
 */
#include <math.h>
#include <string.h>
#include "xbm.h"

/** Values of a block: of one pixel, as many as share a scale. */
#define BLOCK FIXED16_CHANNELS

typedef struct {
  const Context *context;
  long pixels, channels;
  long inputCount, memberCount, outputCount, receivedCount, owedCount;
  const inputRecord *inputs;
  const memberRecord *members;
  const outputRecord *outputs;
  const gradientRecord *received;
  const owedRecord *owed;
  /** Pixels of a block, or 1 and a part of its channels. */
  long rows, width;
  long pixelsPerPiece;
} Group;

/** Pieces of one kernel call: enough to share out among many threads. */
#define PIECES 64

static void openGroup(Group *group, const Context *context, double pixels, double channels, double inputs,
                      double members, const double *records) {
  group->context = context;
  group->pixels = (long)pixels;
  group->channels = (long)channels;
  group->inputCount = (long)inputs;
  group->memberCount = (long)members;
  group->inputs = (const inputRecord *)records;
  group->members = (const memberRecord *)(group->inputs + group->inputCount);
  group->width = minLong(BLOCK, group->channels);
  group->rows = group->width == group->channels ? BLOCK / group->channels : 1;
  group->pixelsPerPiece = ceilDivide(ceilDivide(group->pixels, PIECES), group->rows) * group->rows;
}

static inline void *at(const Group *group, double offset) { return group->context->arena + (size_t)offset; }

static const float *coefficients(const Group *group, const memberRecord *member, enum Coefficient which, long channel) {
  return (const float *)at(group, member->coefficients) + which * group->channels + channel;
}

/** Some channels of some pixels: values `start` … `start + length` of every map of the group. */
typedef struct {
  long start, length, channel, rows, width;
} Block;

/** Values by layer: inputs first, then members. */
typedef struct {
  float memory[MAX_VALUES][BLOCK] __attribute__((aligned(ALIGNMENT)));
  const float *values[MAX_VALUES];
} Values;

/**
 * Asks for a tensor's values of a later block: memory is what bounds these kernels, and the processor's own prefetching
 * stops between the short runs of a block.
 */
#define BLOCKS_AHEAD 3
static inline void prefetch(const void *tensor, const Block *block, long size) {
  const char *ahead = (const char *)tensor + (block->start + BLOCKS_AHEAD * block->length) * size;
  for (long byte = 0; byte < block->length * size; byte += ALIGNMENT) __builtin_prefetch(ahead + byte, 0, 2);
}

static void readInputs(const Group *group, const Block *block, Values *v) {
  for (long i = 0; i < group->inputCount; i++) {
    const inputRecord *input = &group->inputs[i];
    const float step = (float)input->step;
    const float *floats = (const float *)at(group, input->tensor) + block->start;
    const uint8_t *levels = (const uint8_t *)at(group, input->tensor) + block->start;
    float *values = v->memory[i];
    v->values[i] = values;
    prefetch(at(group, input->tensor), block, input->format == LEVELS8 ? 1 : 4);
    if (input->format == LEVELS8)
      for (long n = 0; n < block->length; n++) values[n] = (float)levels[n] * step;
    else if (step != 1.f)
      for (long n = 0; n < block->length; n++) values[n] = floats[n] * step;
    else
      v->values[i] = floats;
  }
}

/* Loops with values per channel take a vector of channels through all pixels of a block, to read these once. */
#define FOR_CHANNELS(block, c) for (long c = 0; c < (block)->width; c += VECTOR)
#define FOR_PIXELS(block, c, n) for (long n = c; n < (block)->length; n += (block)->width)

static inline Vector load(const float *at) { return *(const Vector *)at; }
static inline void store(float *at, Vector values) { *(Vector *)at = values; }

static void normalize(const Group *group, const Block *block, const memberRecord *member, const float *x, float *y) {
  FOR_CHANNELS(block, c) {
    const Vector mean = load(coefficients(group, member, MEAN, block->channel + c));
    const Vector scale = load(coefficients(group, member, SCALE, block->channel + c));
    const Vector shift = load(coefficients(group, member, SHIFT, block->channel + c));
    FOR_PIXELS(block, c, n) store(y + n, (load(x + n) - mean) * scale + shift);
  }
}

/** Levels as floats: round(x/clip · levels), ties to even, within 0 … levels. */
static void toLevels(const memberRecord *member, long length, const float *restrict x, float *restrict y) {
  const float levels = (float)member->levels, perLevel = levels / (float)member->clip;
  for (long n = 0; n < length; n++) {
    float level = x[n] * perLevel;
    level = level > 0.f ? level : 0.f;
    level = level < levels ? level : levels;
    y[n] = rintf(level);
  }
}

/** Members whose values somebody reads; a quantiser's are levels if `asLevels`, else real values. */
static void computeMembers(const Group *group, const Block *block, Values *v, int forOutputs) {
  for (long m = 0; m < group->memberCount; m++) {
    const memberRecord *member = &group->members[m];
    if (!forOutputs && !member->isRead) continue;
    float *y = v->memory[group->inputCount + m];
    const float *x = v->values[(long)member->first];
    switch ((enum MemberKind)member->kind) {
      case BATCH_NORM:
        normalize(group, block, member, x, y);
        break;
      case RELU:
        for (long n = 0; n < block->length; n++) y[n] = x[n] < 0.f ? 0.f : x[n];
        break;
      case ADD: {
        const float *z = v->values[(long)member->second];
        for (long n = 0; n < block->length; n++) y[n] = x[n] + z[n];
        break;
      }
      case QUANTIZE:
        toLevels(member, block->length, x, y);
        if (member->isRead) { // inside the group: as real values, and no output of its own (the planner sees to it)
          const float step = (float)member->clip / (float)member->levels;
          for (long n = 0; n < block->length; n++) y[n] *= step;
        }
    }
    v->values[group->inputCount + m] = y;
  }
}

typedef void (*BlockBody)(const Group *group, const Block *block, void *state);

/** Calls `body` for the blocks of one piece of a kernel call. */
static void forBlocks(const Group *group, long piece, BlockBody body, void *state) {
  const long first = piece * group->pixelsPerPiece, end = minLong(group->pixels, first + group->pixelsPerPiece);
  for (long pixel = first; pixel < end; pixel += group->rows) {
    for (long channel = 0; channel < group->channels; channel += group->width) {
      Block block = { .channel = channel, .rows = minLong(group->rows, end - pixel) };
      block.width = minLong(group->width, group->channels - channel);
      block.start = pixel * group->channels + channel;
      block.length = block.rows * block.width;
      body(group, &block, state);
    }
  }
}

/* ---- Forward ---- */

static void forwardBlock(const Group *group, const Block *block, void *state) {
  Values *v = state;
  readInputs(group, block, v);
  computeMembers(group, block, v, 1);
  for (long o = 0; o < group->outputCount; o++) {
    const outputRecord *output = &group->outputs[o];
    const float *values = v->values[(long)output->value];
    if (output->format == FLOAT32) {
      memcpy((float *)at(group, output->tensor) + block->start, values, sizeof(float) * (size_t)block->length);
    } else {
      uint8_t *levels = (uint8_t *)at(group, output->tensor) + block->start;
#if defined(__AVX512F__)
      for (long n = 0; n < block->length; n += LANES)
        _mm_storeu_si128((__m128i *)(levels + n), _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(_mm512_loadu_ps(values + n))));
#else
      for (long n = 0; n < block->length; n++) levels[n] = (uint8_t)values[n];
#endif
    }
  }
}

static void forwardPiece(void *data, long index) {
  Values *v = scratch(sizeof *v);
  forBlocks(data, index, forwardBlock, v);
}

void groupForward(const Context *context, const groupForwardCall *call) {
  Group group = { .outputCount = (long)call->outputs };
  openGroup(&group, context, call->pixels, call->channels, call->inputs, call->members, (const double *)(call + 1));
  group.outputs = (const outputRecord *)(group.members + group.memberCount);
  parallel(context->pool, ceilDivide(group.pixels, group.pixelsPerPiece), forwardPiece, &group);
}

/* ---- Backward ---- */

typedef struct {
  Values forward;
  /** Gradients by layer; NULL: nobody handed one back. */
  float memory[MAX_VALUES][BLOCK] __attribute__((aligned(ALIGNMENT)));
  const float *gradients[MAX_VALUES];
  float passed[BLOCK] __attribute__((aligned(ALIGNMENT)));
  /** For the sums: which piece. */
  long piece;
} Backward;

/** gradients[value] += g; the first one is kept where it lies. */
static void addTo(Backward *b, long value, const float *g, long length) {
  float *own = b->memory[value];
  const float *before = b->gradients[value];
  b->gradients[value] = before ? own : g;
  if (before)
    for (long n = 0; n < length; n++) own[n] = before[n] + g[n];
}

/** What a member hands back to its input `x`, given the gradient `g` of its output. */
static const float *passOn(const Group *group, const Block *block, const memberRecord *member, const float *x,
                           const float *g, float *out) {
  const long length = block->length;
  switch ((enum MemberKind)member->kind) {
    case ADD:
      return g;
    case RELU:
      for (long n = 0; n < length; n++) out[n] = x[n] > 0.f ? g[n] : 0.f;
      return out;
    case QUANTIZE: { // straight through where 0 ≤ x ≤ clip
      const float clip = (float)member->clip;
      for (long n = 0; n < length; n++) out[n] = ((x[n] >= 0.f) & (x[n] <= clip)) ? g[n] : 0.f;
      return out;
    }
    case BATCH_NORM:
      FOR_CHANNELS(block, c) {
        const Vector scale = load(coefficients(group, member, SCALE, block->channel + c));
        if (!member->trained) {
          FOR_PIXELS(block, c, n) store(out + n, scale * load(g + n));
          continue;
        }
        const Vector mean = load(coefficients(group, member, MEAN, block->channel + c));
        const Vector inverse = load(coefficients(group, member, INVERSE, block->channel + c));
        const Vector meanGradient = load(coefficients(group, member, MEAN_GRADIENT, block->channel + c));
        const Vector meanProduct = load(coefficients(group, member, MEAN_PRODUCT, block->channel + c));
        FOR_PIXELS(block, c, n)
          store(out + n, scale * (load(g + n) - (meanGradient + (load(x + n) - mean) * inverse * meanProduct)));
      }
      return out;
  }
  return g;
}

/** Gradients of all members, and with `toInputs` of the inputs. */
static void computeGradients(const Group *group, const Block *block, Backward *b, int toInputs) {
  readInputs(group, block, &b->forward);
  computeMembers(group, block, &b->forward, 0);
  memset(b->gradients, 0, sizeof b->gradients);
  for (long r = 0; r < group->receivedCount; r++) {
    const gradientRecord *received = &group->received[r];
    const float *g = (const float *)at(group, received->tensor) + block->start;
    prefetch(at(group, received->tensor), block, sizeof(float));
    addTo(b, group->inputCount + (long)received->value, g, block->length);
  }
  for (long m = group->memberCount - 1; m >= 0; m--) {
    const memberRecord *member = &group->members[m];
    const float *g = b->gradients[group->inputCount + m];
    if (!g) continue;
    const long sources[2] = { (long)member->first, (long)member->second };
    for (int s = 0; s < (member->kind == ADD ? 2 : 1); s++) {
      if (!toInputs && sources[s] < group->inputCount) continue;
      float *part = b->gradients[sources[s]] ? b->passed : b->memory[sources[s]];
      addTo(b, sources[s], passOn(group, block, member, b->forward.values[sources[s]], g, part), block->length);
    }
  }
}

static void sumsBlock(const Group *group, const Block *block, void *state) {
  Backward *b = state;
  computeGradients(group, block, b, 0);
  for (long m = 0; m < group->memberCount; m++) {
    const memberRecord *member = &group->members[m];
    const float *g = b->gradients[group->inputCount + m];
    if (member->sums < 0 || !g) continue;
    float *gradient = (float *)at(group, member->sums) + 2 * b->piece * group->channels + block->channel;
    float *product = gradient + group->channels;
    const float *x = b->forward.values[(long)member->first];
    FOR_CHANNELS(block, c) {
      const Vector mean = load(coefficients(group, member, MEAN, block->channel + c));
      const Vector inverse = load(coefficients(group, member, INVERSE, block->channel + c));
      Vector sum = load(gradient + c), sumOfProducts = load(product + c);
      FOR_PIXELS(block, c, n) {
        sum += load(g + n);
        sumOfProducts += load(g + n) * ((load(x + n) - mean) * inverse);
      }
      store(gradient + c, sum);
      store(product + c, sumOfProducts);
    }
  }
}

static void sumsPiece(void *data, long index) {
  const Group *group = data;
  Backward *b = scratch(sizeof *b);
  b->piece = index;
  for (long m = 0; m < group->memberCount; m++) {
    if (group->members[m].sums < 0) continue;
    float *sums = (float *)at(group, group->members[m].sums) + 2 * index * group->channels;
    memset(sums, 0, sizeof(float) * 2 * (size_t)group->channels);
  }
  forBlocks(group, index, sumsBlock, b);
}

/** For each member with `sums`, [chunks][2][channels]: Σ of the gradient and of gradient · x̂ over a chunk of pixels. */
void groupSums(const Context *context, const groupSumsCall *call) {
  Group group = { .receivedCount = (long)call->received };
  openGroup(&group, context, call->pixels, call->channels, call->inputs, call->members, (const double *)(call + 1));
  group.received = (const gradientRecord *)(group.members + group.memberCount);
  group.pixelsPerPiece = ceilDivide(group.pixels, (long)call->chunks);
  parallel(context->pool, (long)call->chunks, sumsPiece, &group);
}

/** target = x · scales; `length` is a multiple of LANES. */
static void scaleToBfloat16(const float *x, const float *scales, long length, uint16_t *target) {
#if HAS_BFLOAT16 && defined(__AVX512F__)
  for (long c = 0; c < length; c += LANES) {
    const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(x + c), _mm512_loadu_ps(scales + c));
    _mm256_storeu_si256((__m256i *)(target + c), (__m256i)_mm512_cvtneps_pbh(scaled));
  }
#elif HAS_BFLOAT16
  for (long c = 0; c < length; c += VECTOR) {
    const float32x4_t scaled = vmulq_f32(vld1q_f32(x + c), vld1q_f32(scales + c));
    vst1_bf16((bfloat16_t *)(target + c), vcvt_bf16_f32(scaled));
  }
#else
  for (long c = 0; c < length; c++) target[c] = toBfloat16(x[c] * scales[c]);
#endif
}

#if HAS_FIXED16
static const float noGradient[BLOCK];

/** x · scales in fixed point; `length` is a multiple of LANES. What is not finite makes the unit so. */
static void scaleToFixed16(const float *x, const float *scales, long length, int16_t *target, float *unit) {
  const __m256i magnitude = _mm256_set1_epi32(INT32_MAX);
  __m256i largest = _mm256_setzero_si256(); // of floats' bits, which are in the order of their magnitudes
  for (long c = 0; c < length; c += 8) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + c), _mm256_loadu_ps(scales + c));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(_mm256_castps_si256(scaled), magnitude));
  }
  int32_t bits[8], most = 0;
  _mm256_storeu_si256((__m256i *)bits, largest);
  for (int i = 0; i < 8; i++) most = bits[i] > most ? bits[i] : most;
  float magnitudeOfMost;
  memcpy(&magnitudeOfMost, &most, sizeof most);
  // Nothing to a gradient, and far above where the reciprocal would overflow.
  const int isZero = magnitudeOfMost < 1e-30f;
  *unit = isZero ? 0.f : magnitudeOfMost / FIXED16_LIMIT;
  const __m256 perUnit = _mm256_set1_ps(isZero ? 0.f : FIXED16_LIMIT / magnitudeOfMost);
  for (long c = 0; c < length; c += LANES) {
    __m256i words[2];
    for (int half = 0; half < 2; half++) {
      const long at = c + 8 * half;
      const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + at), _mm256_loadu_ps(scales + at));
      words[half] = _mm256_cvtps_epi32(_mm256_mul_ps(scaled, perUnit));
    }
    const __m256i packed = _mm256_packs_epi32(words[0], words[1]); // each half of the register by itself
    _mm256_storeu_si256((__m256i *)(target + c), _mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0)));
  }
}
#endif

static void backwardBlock(const Group *group, const Block *block, void *state) {
  Backward *b = state;
  computeGradients(group, block, b, 1);
  for (long o = 0; o < group->owedCount; o++) {
    const owedRecord *owed = &group->owed[o];
    const float *g = b->gradients[(long)owed->value];
    if (owed->format == FLOAT32 && owed->scales < 0) {
      float *target = (float *)at(group, owed->tensor) + block->start;
      if (g) memcpy(target, g, sizeof(float) * (size_t)block->length);
      else memset(target, 0, sizeof(float) * (size_t)block->length);
      continue;
    }
    const float *scales = (const float *)at(group, owed->scales) + block->channel;
    for (long row = 0; row < block->rows; row++) {
      const long from = row * block->width, to = block->start + from;
#if HAS_FIXED16
      if (owed->format == FIXED16) {
        char *pixel = (char *)at(group, owed->tensor) + to / group->channels * bytesPerPixel(FIXED16, group->channels);
        int16_t *target = (int16_t *)pixel + block->channel;
        float *unit = (float *)unitOf(pixel, group->channels, block->channel);
        scaleToFixed16(g ? g + from : noGradient, scales, block->width, target, unit);
        continue;
      }
#endif
      if (owed->format == FLOAT32) {
        float *target = (float *)at(group, owed->tensor) + to;
        for (long c = 0; c < block->width; c++) target[c] = g ? g[from + c] * scales[c] : 0.f;
      } else {
        uint16_t *target = (uint16_t *)at(group, owed->tensor) + to;
        if (g) scaleToBfloat16(g + from, scales, block->width, target);
        else memset(target, 0, sizeof(uint16_t) * (size_t)block->width);
      }
    }
  }
}

static void backwardPiece(void *data, long index) {
  Backward *b = scratch(sizeof *b);
  forBlocks(data, index, backwardBlock, b);
}

void groupBackward(const Context *context, const groupBackwardCall *call) {
  Group group = { .receivedCount = (long)call->received, .owedCount = (long)call->owed };
  openGroup(&group, context, call->pixels, call->channels, call->inputs, call->members, (const double *)(call + 1));
  group.received = (const gradientRecord *)(group.members + group.memberCount);
  group.owed = (const owedRecord *)(group.received + group.receivedCount);
  parallel(context->pool, ceilDivide(group.pixels, group.pixelsPerPiece), backwardPiece, &group);
}

/* ---- Gradients between nodes ---- */

#define SPAN 16384

typedef struct {
  const float *a, *b;
  float *sum;
  long size;
} Addition;

static void addPiece(void *data, long index) {
  const Addition *add = data;
  const long end = minLong(add->size, (index + 1) * SPAN);
  for (long n = index * SPAN; n < end; n++) add->sum[n] = add->a[n] + add->b[n];
}

/** Adds up gradients that several readers of one tensor hand back. */
void addGradients(const Context *context, const addGradientsCall *call) {
  Addition add = { TENSOR(float, a), TENSOR(float, b), TENSOR(float, sum), (long)call->size };
  parallel(context->pool, ceilDivide(add.size, SPAN), addPiece, &add);
}
