/*
 * The weights a convolution computes with, and the updates of what they are made from. A task's own tensors lie as on the
 * host: scores [outC, bitsPerFilter], weights [outC, inC, k, k], so that row r of a filter is channel r / taps, tap r % taps.
 * Frozen weights and gradients lie as [row', outPadded], row' = tap · rowStride + channel.
 *
 * Products read weights in panels (dots.h), twice: as they are, and transposed for the input gradient. From one step to
 * the next few masks and levels change: only those are written.
 */
#include <math.h>
#include "optimizer.h"
#include "xbm.h"

/** One layer, as all kernels of this file see it. */
typedef struct {
  long taps, rowStride, inPadded, inChannels, outChannels, outPadded;
  int format, gradientFormat;
  char *w, *wTransposed;
  /** Channels in a dword of each. */
  long group, groupTransposed;
  /** What one tap takes in each, dwords deep. */
  long depth, depthTransposed;
} Layer;

#define OPEN_LAYER(forward, backward) \
  { \
    .taps = (long)call->taps, .rowStride = (long)call->rowStride, .inPadded = (long)call->inPadded, \
    .inChannels = (long)call->inChannels, .outChannels = (long)call->outChannels, .outPadded = (long)call->outPadded, \
    .format = forward, .gradientFormat = backward \
  }

/** The first convolution reads image columns: its taps and channels are the rows of one pixel. */
static inline int readsImage(const Layer *layer) { return layer->rowStride < layer->inPadded; }

static void openPanels(Layer *layer, char *w, char *wTransposed) {
  layer->w = w;
  layer->wTransposed = wTransposed;
  layer->group = 4 / bytesPerValue(layer->format);
  layer->groupTransposed = 4 / bytesPerValue(layer->gradientFormat);
  layer->depth = layer->inPadded / layer->group;
  layer->depthTransposed = layer->outPadded / layer->groupTransposed;
}

/** Index, in values, of weight (k of a tap's depth, column) in panels: [panel][tap][dword][PANEL][group]. */
static inline size_t panelIndex(long k, long column, long tap, long taps, long depth, long group, long columns) {
  const long panel = column / PANEL;
  const long width = minLong(PANEL, columns - panel * PANEL);
  const long dword = panel * PANEL * taps * depth + (tap * depth + k / group) * width + column % PANEL;
  return (size_t)(dword * group + k % group);
}

/** Writes one weight into both panels. */
static inline void writeWeight(const Layer *layer, long out, long row, float value) {
  const long channel = row / layer->taps, tap = row % layer->taps;
  const int isImage = readsImage(layer);
  const long k = isImage ? tap * layer->rowStride + channel : channel;
  const size_t at = isImage ? panelIndex(k, out, 0, 1, layer->depth, layer->group, layer->outPadded)
                            : panelIndex(k, out, tap, layer->taps, layer->depth, layer->group, layer->outPadded);
  if (layer->format == LEVELS8) ((int8_t *)layer->w)[at] = (int8_t)value;
  else ((float *)layer->w)[at] = value;
  if (!layer->wTransposed) return;
  const size_t transposed = panelIndex(out, channel, tap, layer->taps, layer->depthTransposed, layer->groupTransposed,
                                       layer->inPadded);
  if (layer->gradientFormat == BFLOAT16) ((uint16_t *)layer->wTransposed)[transposed] = toBfloat16(value);
  else if (layer->gradientFormat == FIXED16) ((int16_t *)layer->wTransposed)[transposed] = (int16_t)value;
  else ((float *)layer->wTransposed)[transposed] = value;
}

static inline float frozenAt(const void *frozen, int format, size_t index) {
  return format == LEVELS8 ? (float)((const int8_t *)frozen)[index] : ((const float *)frozen)[index];
}

/** Index of row r's weight in frozen weights and gradients. */
static inline size_t rowIndex(const Layer *layer, long row, long out) {
  return (size_t)((row % layer->taps * layer->rowStride + row / layer->taps) * layer->outPadded + out);
}

/* ---- Masks: src/adaption/noise.ts and fold.ts in C ---- */

static inline uint32_t mix(uint32_t word) {
  uint32_t h = (word ^ (word >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}
static inline uint32_t hashWord(uint32_t h, uint32_t word) { return mix(h + word * 0x9e3779b1u + 0x7f4a7c15u); }
static inline double gumbel(uint32_t draw) { return -log(-log(((double)draw + 0.5) / 4294967296.0)); }

typedef struct {
  const float *scores;
  int sigmoid, noise;
  float threshold, slope;
  uint32_t seed, step, layerKey;
} Binarizer;

#define OPEN_BINARIZER() \
  { \
    .scores = TENSOR(float, scores), .sigmoid = call->binarizer == SIGMOID, .noise = call->noise != 0, \
    .threshold = (float)call->threshold, .slope = (float)call->slope, .seed = (uint32_t)call->seed, \
    .step = (uint32_t)context->step[step_index], .layerKey = (uint32_t)call->layerKey \
  }

/** The sigmoid's argument, slope · (score − threshold) + noise. */
static inline float argumentOf(const Binarizer *b, long index) {
  const float scaled = (b->scores[index] - b->threshold) * b->slope;
  if (!b->noise) return scaled;
  uint32_t h = 0x9e3779b9u;
  h = hashWord(h, b->seed);
  h = hashWord(h, b->step);
  h = hashWord(h, b->layerKey);
  h = hashWord(h, (uint32_t)index);
  return scaled + (float)((gumbel(hashWord(h, 0)) - gumbel(hashWord(h, 1))) / 100);
}

static inline int isOn(const Binarizer *b, long index) {
  return b->sigmoid ? argumentOf(b, index) >= 0.f : b->scores[index] > b->threshold;
}

static inline float derivativeOf(const Binarizer *b, long index) {
  if (!b->sigmoid) return 1.f;
  const float soft = 1.f / (1.f + expf(-argumentOf(b, index)));
  return b->slope * soft * (1.f - soft);
}

typedef struct {
  Layer layer;
  Binarizer binarizer;
  uint8_t *bits;
  const void *frozen;
  int frozenFormat;
  long rowsPerBit, bitsPerFilter;
} MaskedWeights;

static void maskFilter(void *data, long out) {
  const MaskedWeights *m = data;
  const long rows = m->layer.inChannels * m->layer.taps;
  for (long segment = 0; segment < m->bitsPerFilter; segment++) {
    const long bit = out * m->bitsPerFilter + segment;
    const uint8_t on = (uint8_t)isOn(&m->binarizer, bit);
    if (m->bits[bit] == on) continue;
    m->bits[bit] = on;
    const long end = minLong(rows, (segment + 1) * m->rowsPerBit);
    for (long row = segment * m->rowsPerBit; row < end; row++) {
      const float value = on ? frozenAt(m->frozen, m->frozenFormat, rowIndex(&m->layer, row, out)) : 0.f;
      writeWeight(&m->layer, out, row, value);
    }
  }
}

/** Weights = frozen · bit. `bits` holds those of the last step: 0 and 1, or anything else before the first. */
void maskWeights(const Context *context, const maskWeightsCall *call) {
  MaskedWeights m = {
    .layer = OPEN_LAYER((int)call->format, (int)call->gradientFormat), .binarizer = OPEN_BINARIZER(),
    .bits = TENSOR(uint8_t, bits), .frozen = TENSOR(void, frozen), .frozenFormat = (int)call->frozenFormat,
    .rowsPerBit = (long)call->rowsPerBit, .bitsPerFilter = (long)call->bitsPerFilter,
  };
  openPanels(&m.layer, TENSOR(char, w), TENSOR(char, wTransposed));
  parallel(context->pool, m.layer.outChannels, maskFilter, &m);
}

/* ---- Trained weights ---- */

typedef struct {
  Layer layer;
  const float *values, *scales;
  int8_t *levels;
  float limit;
  float *problem;
} TrainedWeights;

static void gridFilter(void *data, long out) {
  const TrainedWeights *t = data;
  const long rows = t->layer.inChannels * t->layer.taps;
  const float scale = t->scales[out];
  const float *values = t->values + out * rows;
  int8_t *levels = t->levels + out * rows;
  for (long row = 0; row < rows; row++) {
    float level = 0.f;
    if (!isfinite(values[row])) {
      report(t->problem);
    } else if (scale != 0.f) {
      level = values[row] / scale;
      level = level > t->limit ? t->limit : level < -t->limit ? -t->limit : level;
      level = rintf(level);
    }
    if (levels[row] == (int8_t)level) continue;
    levels[row] = (int8_t)level;
    writeWeight(&t->layer, out, row, level);
  }
}

/** Levels of trained weights on the backbone's grid. `levels` holds those of the last step, −128 before the first. */
void gridWeights(const Context *context, const gridWeightsCall *call) {
  TrainedWeights t = {
    .layer = OPEN_LAYER((int)call->format, (int)call->gradientFormat), .values = TENSOR(float, values),
    .scales = TENSOR(float, scales), .levels = TENSOR(int8_t, levels), .limit = (float)call->limit,
    .problem = TENSOR(float, problem),
  };
  openPanels(&t.layer, TENSOR(char, w), TENSOR(char, wTransposed));
  parallel(context->pool, t.layer.outChannels, gridFilter, &t);
}

static void plainFilter(void *data, long out) {
  const TrainedWeights *t = data;
  const long rows = t->layer.inChannels * t->layer.taps;
  for (long row = 0; row < rows; row++) writeWeight(&t->layer, out, row, t->values[out * rows + row]);
}

/** Trained weights as they are: full precision, and the head. */
void plainWeights(const Context *context, const plainWeightsCall *call) {
  TrainedWeights t = { .layer = OPEN_LAYER(FLOAT32, FLOAT32), .values = TENSOR(float, values) };
  openPanels(&t.layer, TENSOR(char, w), TENSOR(char, wTransposed));
  parallel(context->pool, t.layer.outChannels, plainFilter, &t);
}

/* ---- Updates ---- */

/** Parameters of a filter (bits of masks, or weights) whose gradients are collected at a time. */
#define SPAN 128

typedef struct {
  Layer layer;
  Binarizer binarizer;
  Optimizer optimizer;
  const float *dw, *scales;
  const void *frozen;
  int frozenFormat;
  long splits, rowsPerBit, bitsPerFilter, bitsPerPiece, pieces;
  float *parameters, *moment1, *moment2;
  float limit;
  /** Times dw: the value of one level of the input. */
  float factor;
} Update;

/** LANES values, in as many registers as they take. */
typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4)));

/** dL/dw of a row, for LANES filters. */
static inline Lanes gradientOf(const Update *u, size_t index, size_t perSplit) {
  Lanes sum = *(const Lanes *)(u->dw + index);
  for (long split = 1; split < u->splits; split++) sum += *(const Lanes *)(u->dw + (size_t)split * perSplit + index);
  return sum;
}

static inline Lanes frozenLanes(const Update *u, size_t index) {
  if (u->frozenFormat != LEVELS8) return *(const Lanes *)((const float *)u->frozen + index);
  const int8_t *levels = (const int8_t *)u->frozen + index;
#if defined(__AVX512F__)
  return (Lanes)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)levels)));
#elif defined(__AVX2__)
  Lanes values;
  for (int i = 0; i < LANES; i += 8) {
    const __m256i words = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(levels + i)));
    _mm256_storeu_ps((float *)&values + i, _mm256_cvtepi32_ps(words));
  }
  return values;
#else
  Lanes values;
  for (int i = 0; i < LANES; i++) values[i] = levels[i];
  return values;
#endif
}

/** Values of one split of a layer's gradient. */
static size_t gradientSize(const Layer *layer) {
  const long rows = readsImage(layer) ? layer->inPadded : layer->taps * layer->inPadded;
  return (size_t)(rows * layer->outPadded);
}

static void updateMasksPiece(void *data, long index) {
  const Update *u = data;
  const long out = index / u->pieces * LANES;
  const long outs = minLong(LANES, u->layer.outChannels - out);
  const long first = index % u->pieces * u->bitsPerPiece;
  const long end = minLong(u->bitsPerFilter, first + u->bitsPerPiece);
  const long rows = u->layer.inChannels * u->layer.taps;
  const size_t perSplit = gradientSize(&u->layer);
  float gradients[SPAN][LANES] __attribute__((aligned(ALIGNMENT))), own[SPAN];
  for (long start = first; start < end; start += SPAN) {
    const long count = minLong(SPAN, end - start);
    for (long bit = 0; bit < count; bit++) {
      const long row = (start + bit) * u->rowsPerBit, endRow = minLong(rows, row + u->rowsPerBit);
      Lanes sum = {0};
      long channel = row / u->layer.taps, tap = row % u->layer.taps;
      for (long r = row; r < endRow; r++) {
        const size_t at = (size_t)((tap * u->layer.rowStride + channel) * u->layer.outPadded + out);
        const Lanes gradient = gradientOf(u, at, perSplit);
        sum += u->frozen ? frozenLanes(u, at) * gradient : gradient;
        if (++tap == u->layer.taps) {
          tap = 0;
          channel++;
        }
      }
      *(Lanes *)gradients[bit] = sum;
    }
    for (long o = 0; o < outs; o++) {
      const long bits = (out + o) * u->bitsPerFilter + start;
      for (long bit = 0; bit < count; bit++) own[bit] = gradients[bit][o] * u->factor * derivativeOf(&u->binarizer, bits + bit);
      optimize(&u->optimizer, u->parameters, u->moment1, u->moment2, own, bits, count);
    }
  }
}

/**
 * dL/dbit = Σ over its rows of frozen · dL/dw (whose scale is in dw already), through the binariser, into the optimiser.
 * Without `frozen`, rows have been multiplied: maskGradient's sums, rows of one bit each.
 */
void updateMasks(const Context *context, const updateMasksCall *call) {
  Update u = {
    .layer = OPEN_LAYER(FLOAT32, FLOAT32), .binarizer = OPEN_BINARIZER(),
    .optimizer = openOptimizer(context, context->step[step_learningRateMasks]), .dw = TENSOR(float, dw),
    .frozen = TENSOR(void, frozen), .frozenFormat = (int)call->frozenFormat, .splits = (long)call->splits,
    .rowsPerBit = (long)call->rowsPerBit, .bitsPerFilter = (long)call->bitsPerFilter,
    .parameters = TENSOR(float, scores), .moment1 = TENSOR(float, moment1), .moment2 = TENSOR(float, moment2),
    .factor = (float)call->factor,
  };
  u.bitsPerPiece = maxLong(1, ceilDivide(4096, u.rowsPerBit));
  u.pieces = ceilDivide(u.bitsPerFilter, u.bitsPerPiece);
  parallel(context->pool, u.pieces * (u.layer.outPadded / LANES), updateMasksPiece, &u);
}

static void updateWeightsPiece(void *data, long index) {
  const Update *u = data;
  const long out = index / u->pieces * LANES;
  const long outs = minLong(LANES, u->layer.outChannels - out);
  const long rows = u->layer.inChannels * u->layer.taps;
  const long first = index % u->pieces * SPAN, count = minLong(SPAN, rows - first);
  const size_t perSplit = gradientSize(&u->layer);
  float gradients[SPAN][LANES] __attribute__((aligned(ALIGNMENT))), own[SPAN];
  for (long r = 0; r < count; r++)
    *(Lanes *)gradients[r] = gradientOf(u, rowIndex(&u->layer, first + r, out), perSplit);
  for (long o = 0; o < outs; o++) {
    const long start = (out + o) * rows + first;
    const float scale = u->scales ? u->scales[out + o] : 1.f;
    const float *values = u->parameters + start;
    for (long r = 0; r < count; r++) own[r] = gradients[r][o] * u->factor;
    if (u->limit > 0.f) {
      // dw has the scale in it, which is 1 for filters of zeros: never 0. Not |w / scale| ≤ limit: many weights start on
      // that edge, and division may miss it.
      for (long r = 0; r < count; r++) own[r] = fabsf(values[r]) > u->limit * scale ? 0.f : own[r] / scale;
    }
    optimize(&u->optimizer, u->parameters, u->moment1, u->moment2, own, start, count);
  }
}

/** `limit` above 0: the gradient passes where |w| ≤ limit · scale. */
void updateWeights(const Context *context, const updateWeightsCall *call) {
  const double rate = context->step[call->group == CONV ? step_learningRateWeights : step_learningRateHead];
  Update u = {
    .layer = OPEN_LAYER(FLOAT32, FLOAT32), .optimizer = openOptimizer(context, rate), .dw = TENSOR(float, dw),
    .scales = TENSOR(float, scales), .splits = (long)call->splits, .parameters = TENSOR(float, values),
    .moment1 = TENSOR(float, moment1), .moment2 = TENSOR(float, moment2), .limit = (float)call->limit,
    .factor = (float)call->factor,
  };
  u.pieces = ceilDivide(u.layer.inChannels * u.layer.taps, SPAN);
  parallel(context->pool, u.pieces * (u.layer.outPadded / LANES), updateWeightsPiece, &u);
}

/** The head's bias: its gradient is the sum of dL/dlogits over the batch. */
void updateBias(const Context *context, const updateBiasCall *call) {
  const float *dlogits = TENSOR(float, dlogits);
  const long batch = (long)call->batch, classes = (long)call->classes, padded = (long)call->padded;
  Optimizer optimizer = openOptimizer(context, context->step[step_learningRateHead]);
  for (long c = 0; c < classes; c++) {
    float sum = 0.f;
    for (long image = 0; image < batch; image++) sum += dlogits[image * padded + c];
    optimize(&optimizer, TENSOR(float, values), TENSOR(float, moment1), TENSOR(float, moment2), &sum, c, 1);
  }
}
