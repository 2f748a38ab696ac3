/** DDI's `softwaremodules`: what a task brings, its bytes, its MD5SUM file, and the deltas beside it. */
import { LeonoreError } from '@leonore/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Deltas, PackageBuilder } from '../../package-builder/mod.ts';
import type { GatewayTasks } from '../contract.ts';
import { deltaOfFileName, deploymentDocument } from '../documents.ts';
import { checkAccept, sendDocument } from './answers.ts';
import { type Caller, moduleId, paramsOf, ROOT } from './ddi-request.ts';
import { sendBytes, sendPackage } from './package-bytes.ts';

export function registerDdiArtifacts(
  app: FastifyInstance,
  deps: {
    tasks: GatewayTasks;
    builder: PackageBuilder;
    deltas: Pick<Deltas, 'open'>;
    caller: (request: FastifyRequest) => Caller;
  },
): void {
  const { tasks, builder, deltas, caller } = deps;

  app.get(`${ROOT}/softwaremodules/:moduleId/artifacts`, { onRequest: checkAccept }, async (request, reply) => {
    const { tenant, id, origin } = caller(request);
    const delivery = await tasks.module(tenant, id, moduleId(request));
    const { deployment } = deploymentDocument(origin, tenant, id, delivery);
    return sendDocument(request, reply, deployment.chunks[0]?.artifacts ?? []);
  });

  app.get(`${ROOT}/softwaremodules/:moduleId/artifacts/:filename`, async (request, reply) => {
    const { tenant, id } = caller(request);
    const task = moduleId(request);
    const { filename } = paramsOf(request);
    const deltaSha256 = deltaOfFileName(filename);
    const { package: record, hashes } = await tasks.download(
      tenant,
      id,
      task,
      (there) => request.method === 'GET' && (filename === there || deltaSha256 !== undefined),
    );
    const { fileName } = record.summary;
    if (filename === `${fileName}.MD5SUM`) {
      return reply
        .header('content-type', 'text/plain')
        .header('content-disposition', `attachment;filename=${filename}`)
        .send(`${hashes.md5}  ${fileName}`);
    }
    if (deltaSha256 !== undefined) {
      const delta = await deltas.open(record, deltaSha256);
      if (!delta)
        throw new LeonoreError('package.unknown', `there is no such delta (any more); ${fileName} has it all`);
      const answer = { createdAt: delta.madeAt, etag: deltaSha256, fileName: filename, cacheControl: 'private' };
      return sendBytes(request, reply, { ...answer, size: delta.size, read: delta.read });
    }
    if (filename !== fileName)
      throw new LeonoreError('task.unknown', `task ${task} has no file ${filename}; it has ${fileName}`);
    return sendPackage(builder, request, reply, { record, etag: hashes.sha1, fileName, cacheControl: 'private' });
  });
}
