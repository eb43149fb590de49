// SPDX-License-Identifier: Apache-2.0
// What clients read first, without a token: which API this is, and which versions of it are spoken.
import type { RouteHandlerMethod } from "fastify";
import type { HttpRequests } from "../http/http-requests.js";
import { baseUrlOf } from "./base-url.js";
import { SUPPORTED, versionText } from "./microversion.js";

interface Link {
  readonly rel: string;
  readonly href: string;
  readonly type?: string;
}

/** All versions of the API. */
export function tellVersions(requests: HttpRequests): RouteHandlerMethod {
  return (request) => Promise.resolve({ versions: [versionAt(baseUrlOf(request, requests))] });
}

/** The one version of the API. */
export function tellVersion(requests: HttpRequests): RouteHandlerMethod {
  const documentation = { rel: "describedby", type: "text/html", href: "http://docs.openstack.org/" };
  return (request) => {
    const { links, ...version } = versionAt(baseUrlOf(request, requests));
    return Promise.resolve({
      version: {
        ...version,
        links: [...links, documentation],
        "media-types": [{ base: "application/json", type: "application/vnd.openstack.compute+json;version=2.1" }],
      },
    });
  };
}

function versionAt(base: string): { readonly links: readonly Link[]; readonly [name: string]: unknown } {
  return {
    id: "v2.1",
    status: "CURRENT",
    version: versionText(SUPPORTED.max),
    min_version: versionText(SUPPORTED.min),
    // Nova's own date of v2.1, which no client looks at.
    updated: "2013-07-23T11:33:21Z",
    links: [{ rel: "self", href: `${base}/v2.1/` }],
  };
}
