// SPDX-License-Identifier: Apache-2.0

/** The numbers of the protocol that the page needs. */
export const Constants: {
  readonly SPICE_MSGC_INPUTS_KEY_DOWN: number;
  readonly SPICE_MSGC_INPUTS_KEY_UP: number;
};
