/* One optimiser step, in PyTorch's form; weight decay is added to the gradient. */
#pragma once
#include <math.h>
#include "xbm.h"

typedef struct {
  int isAdam;
  float learningRate, beta1, beta2, rest1, rest2, epsilon, correction1, correction2, momentum, weightDecay;
} Optimizer;

static inline Optimizer openOptimizer(const Context *context, double learningRate) {
  const double *step = context->step;
  return (Optimizer){
    .isAdam = step[step_isAdam] != 0,
    .learningRate = (float)learningRate,
    .beta1 = (float)step[step_beta1],
    .beta2 = (float)step[step_beta2],
    .rest1 = (float)(1 - step[step_beta1]),
    .rest2 = (float)(1 - step[step_beta2]),
    .epsilon = (float)step[step_epsilon],
    .correction1 = (float)step[step_correction1],
    .correction2 = (float)step[step_correction2],
    .momentum = (float)step[step_momentum],
    .weightDecay = (float)step[step_weightDecay],
  };
}

/** One step of `length` parameters from index `start`; gradients from index 0. SGD has one moment only. */
static inline void optimize(const Optimizer *o, float *parameters, float *moment1, float *moment2,
                            const float *gradients, long start, long length) {
  float *p = parameters + start, *m = moment1 + start;
  if (!o->isAdam) {
    for (long i = 0; i < length; i++) {
      m[i] = m[i] * o->momentum + (gradients[i] + o->weightDecay * p[i]);
      p[i] -= o->learningRate * m[i];
    }
    return;
  }
  float *v = moment2 + start;
  for (long i = 0; i < length; i++) {
    const float decayed = gradients[i] + o->weightDecay * p[i];
    const float first = m[i] * o->beta1 + decayed * o->rest1;
    const float second = v[i] * o->beta2 + decayed * decayed * o->rest2;
    m[i] = first;
    v[i] = second;
    p[i] -= o->learningRate * (first / o->correction1) / (sqrtf(second / o->correction2) + o->epsilon);
  }
}
