-- Starts tasks: what RQ 3.0's `prepare_execution` and `prepare_job_execution` write, in one step.
--
-- Invariant: at every moment exactly one place knows of a task that is not final: its queue's list, the intermediate
-- list, or the registry of running executions (`wip`). A task is started only from the status `queued`, so an id that
-- was canceled, expired or started by somebody else is dropped here and never runs.
--
-- `p` is what step.lua reads from its arguments.

local function tell(p, id, data)
  if p.journal_seconds > 0 then
    local key = 'agents:journal:' .. id
    redis.call('XADD', key, 'MAXLEN', '~', p.journal_lines, '*', 'kind', 'status', 'at', p.journal_at, 'data', data)
    redis.call('EXPIRE', key, p.journal_seconds)
  end
end

-- Starts one task; nil where it is not to be started. FIELDS is what the worker wants to know of a job; Python puts it in
-- front of the script. Its first four are what is looked at here.
local function start(p, id, execution)
  local job = p.prefix .. ':job:' .. id
  local fields = redis.call('HMGET', job, unpack(FIELDS))
  local status, stop_requested, attempts, description = fields[1], fields[2], fields[3], fields[4]
  if status ~= 'queued' then
    return nil
  end
  if stop_requested then
    return { 'stopped', id }
  end
  local composite = id .. ':' .. execution
  local key = p.prefix .. ':execution:' .. composite
  redis.call('HSET', key, 'id', execution, 'job_id', id, 'created_at', p.now, 'last_heartbeat', p.now,
    'worker_name', p.worker)
  redis.call('EXPIRE', key, p.ttl)
  local executions = p.prefix .. ':executions:' .. id
  redis.call('ZADD', executions, p.second + p.ttl + 60, execution)
  redis.call('EXPIRE', executions, p.ttl + 60)
  redis.call('ZADD', p.wip, p.second + p.ttl, composite)
  redis.call('SADD', p.worker_key .. ':executions', composite)
  local attempt = (tonumber(attempts or 0) or 0) + 1
  redis.call('HSET', job, 'last_heartbeat', p.iso, 'status', 'started', 'started_at', p.iso, 'worker_name', p.worker,
    'attempts', attempt)
  -- A task that was retried may carry the time to live of its failure.
  redis.call('PERSIST', job)
  tell(p, id, '{"status":"started","attempt":' .. attempt .. ',"worker":' .. p.worker_json .. '}')
  return { 'started', id, execution, fields, description }
end

-- Whether the worker may run a task beside others; those that it may not are taken one at a time.
local function runs_beside_others(p, started)
  return started[5] and string.find(p.side_by_side, ',' .. started[5] .. ',', 1, true) ~= nil
end

-- Takes tasks: first the one that was popped already, then from the queue, `#p.executions` at most and up to the first
-- that must not run beside others, since only one of those is wanted at a time.
local function take(p, popped)
  local found, taken = {}, 0
  while taken < #p.executions do
    local id = popped or redis.call('LPOP', p.prefix .. ':queue:' .. p.queue)
    popped = nil
    if not id then
      break
    end
    local started = start(p, id, p.executions[taken + 1])
    if started then
      found[#found + 1] = started
      if started[1] == 'started' then
        taken = taken + 1
        if not runs_beside_others(p, started) then
          break
        end
      end
    end
  end
  if taken > 0 then
    redis.call('EXPIRE', p.worker_key .. ':executions', p.ttl + 60)
    redis.call('HSET', p.worker_key, 'state', 'busy')
  end
  return found
end

-- Finds the tasks that an earlier run of the same step took, whose answer was lost on its way.
local function find_taken(p)
  local wanted, found = {}, {}
  for _, execution in ipairs(p.executions) do
    wanted[execution] = true
  end
  for _, composite in ipairs(redis.call('SMEMBERS', p.worker_key .. ':executions')) do
    local id, execution = string.match(composite, '^(.*):([^:]*)$')
    if wanted[execution] and redis.call('ZSCORE', p.wip, composite) then
      found[#found + 1] = { 'started', id, execution, redis.call('HMGET', p.prefix .. ':job:' .. id, unpack(FIELDS)) }
    end
  end
  return found
end
