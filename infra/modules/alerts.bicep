metadata description = 'Alerts on what copyjob tells of itself. Each query returns what is wrong, a row a cause: a row rings.'

@description('Region of the rules.')
param location string

@description('Tags of every resource.')
param tags object

@description('Resource id of the Log Analytics workspace that the metrics arrive in.')
param workspaceId string

@description('End of the names of the resources.')
param suffix string

@description('Where to send mail when an alert rings and when it is resolved; empty: alerts are only listed in the portal.')
param email string

@description('Minutes after which a scheduled job that has not succeeded is late.')
@minValue(1)
param lateMinutes int

@description('Hours that a table may be behind before its growing lag rings.')
@minValue(1)
param lagHours int

var ofJob = ['Job']
var ofTable = ['Job', 'Table']

// Windows are longer than the time between two looks, since metrics arrive minutes late; an alert that
// rings already does not ring again.
var rules = [
  {
    name: 'not-ticking'
    title: 'copyjob: nothing ticks'
    description: 'The app has not looked at its schedules for a quarter of an hour. Look whether it runs, and at its exceptions.'
    severity: 1
    frequency: 'PT5M'
    window: 'PT15M'
    query: loadTextContent('../alerts/not-ticking.kql')
    dimensions: []
  }
  {
    name: 'job-late'
    title: 'copyjob: a job is late'
    description: 'What a schedule asked for has not succeeded yet. Look at the latest runs of the job.'
    severity: 1
    frequency: 'PT15M'
    window: 'PT15M'
    query: replace(
      loadTextContent('../alerts/job-late.kql'),
      'let lateMinutes = 60;',
      'let lateMinutes = ${lateMinutes};'
    )
    dimensions: ofJob
  }
  {
    name: 'job-broken'
    title: 'copyjob: a job cannot be started'
    description: 'Nothing of the job can be started. Look at the warnings of the job in the log.'
    severity: 2
    frequency: 'PT15M'
    window: 'PT15M'
    query: loadTextContent('../alerts/job-broken.kql')
    dimensions: ['Job', 'Error']
  }
  {
    name: 'run-failed'
    title: 'copyjob: a run failed'
    description: 'A table or a whole run failed, and no later run of the job has succeeded. Look at the run: the error says what to change.'
    severity: 2
    frequency: 'PT5M'
    window: 'P2D'
    query: loadTextContent('../alerts/run-failed.kql')
    dimensions: ['Job', 'Table', 'Error']
  }
  {
    name: 'lag-growing'
    title: 'copyjob: a table falls behind'
    description: 'The newest row that was copied is too old, and gets older. Look whether the source still gets rows.'
    severity: 2
    frequency: 'PT1H'
    window: 'P2D'
    query: replace(
      loadTextContent('../alerts/lag-growing.kql'),
      'let lagHours = 24;',
      'let lagHours = ${lagHours};'
    )
    dimensions: ofTable
  }
  {
    name: 'rows-rejected'
    title: 'copyjob: rows were rejected'
    description: 'Lines of files were left out because they are no rows of the table. Look at the table in the run: it tells where they are listed.'
    severity: 3
    frequency: 'PT15M'
    window: 'PT1H'
    query: loadTextContent('../alerts/rows-rejected.kql')
    dimensions: ofTable
  }
]

resource mail 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-${suffix}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'copyjob'
    emailReceivers: [
      {
        name: 'operator'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alert 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: 'alert-${rule.name}-${suffix}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: rule.frequency
      windowSize: rule.window
      autoMitigate: true
      // A workspace that was made a moment ago may not know its own tables yet.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            dimensions: map(rule.dimensions, name => {
              name: name
              operator: 'Include'
              values: ['*']
            })
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: empty(email) ? [] : [mail.id]
      }
    }
  }
]
