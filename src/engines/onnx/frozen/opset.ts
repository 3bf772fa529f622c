/** BitwiseAnd, which masks int8 weights in models of several tasks, came with 18. */
export const FROZEN_OPSET = 18;
